"""The kernels that are emulated, and their libraries."""

from __future__ import annotations

from functools import cache

from bench.emulator.build import build
from bench.emulator.run import Emulator
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory

CPU_ONLY = {"nlm_pairs": "the CPU's form of nlm: no GPU launches it"}
"""Kernels that are not emulated, with the reason."""

EMULATED = [k for k in all_kernels() if k.source.endswith(".cu") and k.name not in CPU_ONLY]


@cache
def emulator_of(source: str, *, fused: bool = False) -> Emulator:
    """The library of a file of ``kernels/``."""
    kernels = [k for k in all_kernels() if k.source == source]
    return Emulator(build(source_directory() / source, kernels, fused=fused))
