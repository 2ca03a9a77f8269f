"""Cost of every kernel: from the cubin its registers and instructions, from the signature its bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench import nvrtc
from bench.cubin import sources
from bench.gpu_model import nlm, sass
from bench.gpu_model.hardware import ARCHITECTURE, BUSY_WARPS
from bench.gpu_model.occupancy import occupancy
from bench.gpu_model.predict import KernelCost
from qsmengine.backend.kernel import DTYPES, Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.signatures.nlm import NLM_PACKED
from qsmengine.errors import QsmengineError

VOLUME = {
    "nx": 256, "ny": 256, "nz": 160, "nh": 81, "n": 256 * 256 * 160, "cx": 128, "cy": 128, "cz": 80,
    "px": 268, "py": 268, "pz": 184, "bx": 128, "by": 128, "bz": 80, "voxels": 27, "blocks": 1024,
    "packs": 1, "nv": 2562, "nt": 5120,
}  # fmt: skip
"""Dimensions of a volume of 256 x 256 x 160, its coarser and its padded grids."""
DIFFUSION = {"n": 752_640, "fitted": 752_640, "volumes": 69, "blocks": 9, "sigmas": 1, "marked": 69}
"""Dimensions of a series of 112 x 112 x 60 voxels and 69 volumes."""
PERFUSION = {"n": 128 * 128 * 24, "frame": 60, "settings": 1, "start": 22, "node": 100}
"""Dimensions of a bolus series of 128 x 128 x 24 voxels and 60 frames."""
COUNT = 4
"""Of echoes, components and parameters."""


@dataclass(frozen=True)
class Trips:
    """Iterations of a kernel's inner loops per work item in the predicted workload.

    Parameters
    ----------
    loops
        Number of loops in its machine code; another number means that the table must be looked over.
    times
        By number of the loop in order of the heads; others run once.
    """

    loops: int
    times: Mapping[int, float]


TRIPS = {
    "tensor_fit": Trips(10, {1: 9, 3: 9, 5: 9, 6: 0, 7: 0, 8: 0, 9: 9}),
    "transit_fit": Trips(
        45,
        {
            3: 4,
            6: 18,
            7: 18,
            8: 72,
            10: 10,
            11: 610,
            12: 610,
            13: 600,
            **dict.fromkeys(range(14, 38), 10),
        },
    ),
    "bolus_features": Trips(7, {3: 15, 5: 20}),
    "log_contrast": Trips(13, {5: 10, 6: 20, 7: 10, 10: 4, 11: 15}),
}
"""Kernels whose inner loops are long. tensor_fit: nine blocks of eight volumes; loops 6 and 7 refine a step,
which few voxels need, loop 8 belongs to FSL's weights. transit_fit: 18 starts, sixteen
frames at a time, and ten steps over 60 frames; bolus_features: 60 frames, three or four at a time;
log_contrast: ten frames of baseline, and 60 frames, four or sixteen at a time."""

LONG = frozenset(
    {
        "bet_cross", "bet_evolve", "nlm", "nlm_pairs", "nlm_blocks", "nlm_lmmse", "free_water_fit",
        "kurtosis_fit", "tensor_search",
    }
)  # fmt: skip
"""Kernels whose inner loops are long and not counted: their instructions are left out of every prediction."""


class CostError(QsmengineError):
    """A kernel's machine code is not as the table of loops says."""

    exit_code = 1


def kernel_costs(efficiency: Mapping[str, float] | None = None) -> dict[str, KernelCost]:
    """Cost of every kernel; instructions only where nvdisasm is installed."""
    found = {}
    threads = {kernel.name: kernel.threads for kernel in all_kernels()}
    for source in sources():
        usages, cubin = nvrtc.machine_code(source, ARCHITECTURE)
        cycles = _cycles_of(source, cubin)
        for usage in usages:
            found[usage.kernel] = KernelCost(
                usage.kernel,
                usage.registers,
                usage.shared_bytes,
                occupancy(usage.registers, usage.shared_bytes, threads[usage.kernel]),
                cycles.get(usage.kernel),
                (efficiency or {}).get(usage.kernel, 1.0),
                nlm.BUSY_WARPS if source == NLM_PACKED.source else BUSY_WARPS.value,
            )
    return found


def _cycles_of(source: str, cubin: bytes) -> dict[str, float | None]:
    """Cycles of each kernel of a source; nothing where nvdisasm is not installed."""
    if source == NLM_PACKED.source:
        return {NLM_PACKED.name: nlm.cycles(cubin)}
    return {name: _cycles(name, code) for name, code in (sass.disassemble(cubin) or {}).items()}


def _cycles(kernel: str, code: sass.Code) -> float | None:
    if kernel in LONG:
        return None
    trips = TRIPS.get(kernel)
    if trips is None:
        return code.cycles()
    if len(code.loops) != trips.loops:
        raise CostError(f"{kernel} has {len(code.loops)} loops, TRIPS of {__name__} knows {trips.loops}")
    return code.cycles(trips.times)


def whole_launch(kernel: Kernel) -> tuple[int, int]:
    """Bytes that a launch on a whole volume, diffusion or bolus series must move, and its work items."""
    known = DIFFUSION if "fitted" in kernel.dims else PERFUSION if "frame" in kernel.dims else VOLUME
    sizes = {d: known.get(d, COUNT) for d in kernel.dims}
    factor = {"in": 1, "out": 1, "inout": 2}
    moved = sum(
        factor[a.role]
        * DTYPES[a.type].itemsize
        * math.prod(int(d) if d.isdigit() else sizes[d] for d in a.dims)
        for a in kernel.arguments
        if a.is_array
    )
    return moved, math.prod(sizes[d] for d in kernel.items.split())
