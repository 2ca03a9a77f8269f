"""Runs kernels of test builds on every size: `python -m tests.kernels.replay LIBRARY=KERNEL,KERNEL...`.

A process of its own, because a sanitizer's runtime must be loaded before Python; a copy of it for each library,
because ThreadSanitizer cannot map the data of many.
"""

from __future__ import annotations

import ctypes
import os
import sys

import numpy as np

from bench.inputs.kernels import cases, dimensions, random_values
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from tests.kernels.broken import BROKEN
from tests.kernels.calling import call


def main(*runs: str) -> None:
    for run in runs:
        child = os.fork()
        if child == 0:
            replay(*run.rsplit("=", 1))
            return
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 0:
            sys.exit(code)


def replay(library: str, names: str) -> None:
    """Run the kernels of a library; print the name of each that has ended."""
    kernels: dict[str, Kernel] = {k.name: k for k in (*all_kernels(), *BROKEN)}
    loaded = ctypes.CDLL(library)
    for name in names.split(","):
        for case in cases(kernels[name]):
            rng = np.random.default_rng(7)
            call(loaded, kernels[name], random_values(kernels[name], dimensions(kernels[name], case), rng))
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
