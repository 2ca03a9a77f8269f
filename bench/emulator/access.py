"""Memory accesses of kernels on a GPU: sectors of global memory and passes over the banks of shared memory.

A warp's request to global memory fetches whole sectors of 32 bytes; the efficiency of an access is the number
of bytes requested over the number fetched. A request to shared memory takes one pass for each distinct word in
the same bank, so one pass means no bank conflict. Requests in which all lanes ask for one address are counted
separately. The n-th time that the lanes of a warp reach a source line between two barriers counts as one
request; where lanes skip iterations of a loop this is an approximation. Both parts of a complex number form
one access. Caches are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.emulator.cases import MASKS
from bench.emulator.kernels import emulator_of
from bench.inputs.kernels import DIMENSIONS, random_values
from qsmengine.backend.kernel import Kernel

SECTOR = 32
_COUNTS = ("requests", "scalars", "units", "useful")
LONG = {"nx": 3, "ny": 5, "nz": 160, "nh": 96, "n": 4096, "echo": 3, "volumes": 64, "blocks": 5}
"""Sizes by name: rows of a usual volume, few of them."""
OTHER = 3
OWN: dict[str, dict[str, int]] = {
    "bet_cross": {"nv": 600, "nt": 1200, "nx": 3, "ny": 5, "nz": 160},
    "mg_restrict": {"nx": 4, "ny": 5, "nz": 160, "cx": 2, "cy": 5, "cz": 80},
    "mg_prolong": {"nx": 4, "ny": 5, "nz": 160, "cx": 2, "cy": 5, "cz": 80},
    "nlm": {"components": 4, "px": 6, "py": 12, "pz": 176, "maps": 1, "nx": 2, "ny": 8, "nz": 160},
    "nlm_lmmse": {"components": 4, "px": 4, "py": 4, "pz": 174, "maps": 4, "nx": 2, "ny": 2, "nz": 160},
    "nlm_statistics": {"components": 2, "px": 5, "py": 6, "pz": 160, "numbers": 4},
    "nlm_blocks": {
        "components": 1, "px": 9, "py": 9, "pz": 167, "maps": 1, "numbers": 3, "voxels": 27, "bx": 2, "by": 2,
        "bz": 80,
    },
    "nlm_block_means": {
        "components": 2, "voxels": 27, "bx": 2, "by": 2, "bz": 80, "nx": 5, "ny": 5, "nz": 160,
    },
    # Four warps, few volumes, or one pack of images: the pattern of a warp does not depend on their number.
    "gamma_transit": DIMENSIONS["gamma_transit"] | {"n": 128},
    "nlm_packed": DIMENSIONS["nlm_packed"] | {"packs": 1, "py": 16, "pack": 2, "ny": 3, "components": 2},
    "series_median": {"volumes": 9, "n": 1024},
    "tensor_search": DIMENSIONS["tensor_search"] | {"n": 128, "fitted": 128, "sigmas": 128},
}  # fmt: skip


LEAST = 0.5
"""Efficiency below which an access needs a reason."""
NOTABLE = 0.03
"""Share of a kernel's sectors or passes from which on an access counts: the ends of rows stay below."""
ACCEPTED = {
    **{
        ("bet_evolve", name): "neighbours lie anywhere; the caches hold the whole surface"
        for name in ("vertices", "next", "ring")
    },
    (
        "bet_evolve",
        "image",
    ): "each vertex looks along its own normal; the caches hold what lies around",
    ("uniform_step", "x"): "the region's voxels lie anywhere",
    ("uniform_step", "total"): "the region's voxels lie anywhere",
    ("leakage_fit", "leaked"): "each voxel takes the curve of its own setting; the caches hold the table",
    ("transit_fit", "nodes"): "each voxel takes the nodes around its own place; the caches hold the table",
    ("spin_echo_fit", "table"): "each voxel takes the nodes around its own place; the caches hold the table",
    ("bet_cross", "vertices"): "corners lie anywhere; the caches hold the whole surface",
    ("ball_keep", "kept"): "only lanes that keep their voxel read it: their counts of reads drift apart",
    ("kurtosis_fit", "cone"): "each voxel takes its own constraint; the caches hold the rest of its row",
    (
        "mg_restrict",
        "fine",
    ): "coarse voxels lie two apart; the loop's next position finds the sector cached",
    **{
        ("nlm_blocks", name): "centres lie a stride apart; the patch's next position finds the sector cached"
        for name in ("guide", "values", "precision")
    },
}
"""(kernel, argument) -> why its accesses may be less efficient."""
GATHERING = {
    "components.cu": "voxels look up the components of others, wherever these are",
    "nearest.cu": "how far a voxel of a gap searches depends on the gap",
    "romeo_branch.cu": "voxels look up their tree, and leave the others of a warp out",
    "romeo_forest.cu": "voxels follow links to their trees, wherever these lead",
}
"""Sources whose lanes go where the data lead -> what they follow; random arguments say little about them."""


@dataclass(frozen=True)
class Access:
    """One source line's loads or stores of one array, over a launch."""

    kernel: str
    place: str
    argument: str
    memory: str
    direction: str
    requests: int
    scalars: int
    units: int
    useful: int

    @cached_property
    def efficiency(self) -> float:
        """Bytes asked for over bytes fetched (global memory), fewest passes over passes (shared memory)."""
        return self.useful / (self.units * (SECTOR if self.memory == "global" else 1)) if self.units else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the efficiency, for JSON."""
        return {**vars(self), "efficiency": self.efficiency}


def accesses(kernel: Kernel) -> list[Access]:
    """The accesses of a kernel on long rows, those with most sectors or passes first."""
    sizes = {d: LONG.get(d, OTHER) for d in kernel.dims} | OWN.get(kernel.name, DIMENSIONS.get(kernel.name, {}))
    rows, places = emulator_of(kernel.source).requests(kernel, _values(kernel, sizes))
    names = [a.name for a in kernel.arguments if a.is_array]
    found: dict[tuple[str, str, str, str, str], np.ndarray] = {}
    for row, place in zip(rows, places, strict=True):
        shared = row["argument"] < 0
        argument, memory = ("scratch", "shared") if shared else (names[row["argument"]], "global")
        key = (kernel.name, place, argument, memory, "write" if row["write"] else "read")
        found[key] = found.get(key, 0) + np.array([row[name] for name in _COUNTS])
    made = (Access(*key, *map(int, counts)) for key, counts in found.items())
    return sorted(made, key=lambda a: -a.units)


def _values(kernel: Kernel, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Arguments with which every voxel takes part, and neighbouring lanes work on neighbouring voxels."""
    values = random_values(kernel, sizes, np.random.default_rng(1))
    for name in MASKS:
        if name in values:
            values[name][...] = 1
    if "voxel_index" in values:
        values["voxel_index"][...] = np.arange(values["voxel_index"].size)
    if "stride_x" in values:
        values |= {"stride_x": 2, "stride_y": 2, "stride_z": 2}
    if kernel.name == "nlm_blocks":  # no block is left out for its statistics
        values |= {"mean_part": 100.0, "variance_ratio": 0.0, "most": 1e6}
    return values


def inefficient(found: Iterable[Access]) -> list[Access]:
    """The notable accesses of a kernel that are less efficient than LEAST.

    A request that takes two sectors at most cannot take fewer wherever its lanes begin.
    """
    found = list(found)
    totals = {memory: sum(a.units for a in found if a.memory == memory) for memory in ("global", "shared")}
    fewest = {"global": 2, "shared": 1}
    return [
        a
        for a in found
        if a.units > max(NOTABLE * totals[a.memory], fewest[a.memory] * a.requests) and a.efficiency < LEAST
    ]


def combined(found: Iterable[Access], memory: str) -> Access:
    """All accesses of a kernel to one memory taken together."""
    found = list(found)
    totals = {name: sum(getattr(a, name) for a in found if a.memory == memory) for name in _COUNTS}
    return Access(found[0].kernel, "", "", memory, "", **totals)
