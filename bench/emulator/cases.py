"""The launches on which every kernel is run: sizes, number of blocks, masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.inputs.kernels import DIMENSIONS, SIZES, random_values
from qsmengine.backend.kernel import Kernel


@dataclass(frozen=True)
class Case:
    """Sizes of the dimensions in order and of "n"; blocks of the launch (None: what the GPU host takes)."""

    name: str
    sizes: tuple[int, ...]
    n: int
    grid: int | None = None
    empty: bool = False


CASES = (
    Case("many tiles", SIZES["many tiles"], 601),
    Case("one block", SIZES["odd"], 601, grid=1),
    Case("two tiles a block", (3, 4, 65, 5, 3, 7), 1500, grid=6),
    Case("long rows", (3, 3, 601, 4, 3, 5), 256, grid=2),
    Case("spare blocks", (2, 3, 301, 2, 4, 6), 257, grid=40),
    Case("empty tiles", (5, 4, 149, 5, 3, 7), 601, grid=1, empty=True),
    Case("thin", SIZES["thin"], 255),
    Case("one voxel", (1, 1, 1, 1, 1, 1), 1),
    Case("line along x", (300, 1, 1, 3, 1, 2), 2),
)
CASES_BY_NAME = {case.name: case for case in CASES}

FIRST = {
    "nlm": {"components": 5, "px": 30, "py": 13, "pz": 53, "maps": 5, "nx": 26, "ny": 9, "nz": 37},
    "nlm_packed": {  # two tiles, and planes in two layers
        "packs": 1,
        "px": 37,
        "py": 16,
        "pz": 33,
        "pack": 2,
        "maps": 0,
        "nx": 33,
        "ny": 3,
        "nz": 29,
        "components": 2,
    },
}
OTHERS = {
    "nlm": {"components": 5, "px": 6, "py": 13, "pz": 61, "maps": 5, "nx": 2, "ny": 9, "nz": 45},
    "nlm_packed": {
        "packs": 2,
        "px": 7,
        "py": 22,
        "pz": 33,
        "pack": 4,
        "maps": 1,
        "nx": 3,
        "ny": 7,
        "nz": 29,
        "components": 6,
    },
}
"""Dimensions in the first case and in the others of kernels whose usual ones take long."""

MASKS = ("mask", "inside", "candidate")
"""Arguments whose zeros leave voxels out."""


def sizes_of(kernel: Kernel, case: Case) -> dict[str, int]:
    """Dimensions of a kernel in a case; kernels whose dimensions are not free have one size."""
    sizes = dict(zip(kernel.dims, case.sizes, strict=False))
    if "n" in kernel.dims:
        sizes["n"] = case.n
    if {"cx", "cy", "cz"} <= set(kernel.dims):  # factors 2, 1, 2
        sizes |= {"cx": (sizes["nx"] + 1) // 2, "cy": sizes["ny"], "cz": (sizes["nz"] + 1) // 2}
    quicker = FIRST if case is CASES[0] else OTHERS
    return sizes | quicker.get(kernel.name, DIMENSIONS.get(kernel.name, {}))


def cases_of(kernel: Kernel) -> list[Case]:
    """The cases that differ for this kernel."""
    distinct: dict[Any, Any] = {}
    for case in CASES:
        empty = case.empty and any(a.name in MASKS for a in kernel.arguments)
        key = (tuple(sizes_of(kernel, case).items()), case.grid, empty)
        distinct.setdefault(key, case)
    return list(distinct.values())


def values_of(kernel: Kernel, case: Case, seed: int) -> dict[str, Any]:
    """Random arguments; in the case of empty tiles no mask has voxels in the last half of any axis."""
    values = random_values(kernel, sizes_of(kernel, case), np.random.default_rng(seed))
    if case.empty:
        _empty(values)
    return values


def _empty(values: Mapping[str, Any]) -> None:
    for name in MASKS:
        array = values.get(name)
        if isinstance(array, np.ndarray):
            for axis, size in enumerate(array.shape):
                np.moveaxis(array, axis, 0)[(size + 1) // 2 :] = 0
