"""The kernels that are emulated, and their libraries."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.emulator.build import build, unsupported
from tests.emulator.run import Emulator

CPU_ONLY = {"nlm_pairs": "the CPU's form of nlm: no GPU launches it"}
"""Kernels that are not emulated, with the reason."""

EMULATED = [k for k in all_kernels() if k.source.endswith(".cu") and k.name not in CPU_ONLY]

needs_emulator = pytest.mark.skipif(unsupported() is not None, reason=str(unsupported()))


def on_one_worker(source: str, *values: Any, name: str) -> Any:
    """Parameters of a test; the tests of one source run in one process, which compiles it once."""
    return pytest.param(*values, id=name, marks=pytest.mark.xdist_group(f"emulator {source}"))


@cache
def emulator_of(source: str, *, fused: bool = False) -> Emulator:
    """The library of a file of ``kernels/``."""
    kernels = [k for k in all_kernels() if k.source == source]
    return Emulator(build(source_directory() / source, kernels, fused=fused))
