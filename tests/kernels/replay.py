"""Runs kernels of test builds on every size: `python -m tests.kernels.replay LIBRARY=KERNEL,KERNEL...`.

A process of its own, because a sanitizer's runtime must be loaded before Python.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

from bench.inputs.kernels import SIZES, dimensions, random_values
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from tests.kernels.broken import BROKEN
from tests.kernels.calling import call


def main(*runs: str) -> None:
    kernels: dict[str, Kernel] = {k.name: k for k in (*all_kernels(), *BROKEN)}
    for run in runs:
        library, names = run.rsplit("=", 1)
        loaded = ctypes.CDLL(library)
        for name in names.split(","):
            for case in SIZES:
                rng = np.random.default_rng(7)
                call(loaded, kernels[name], random_values(kernels[name], dimensions(kernels[name], case), rng))
            sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
