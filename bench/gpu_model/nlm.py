"""What kernels/nlm_packed.cu costs: a warp's instructions for a plane, found in its machine code.

A strand (a warp) takes K shifts through the planes of a tile. For four components and no map of the noise,
three basic blocks are identified by their numbers of multiplications, exchanges and powers: the differences
of K shifts, the exchange between lanes, and the weights with the weighted sums. The code between them, and the
sum over the strands (work of N + 1 of them), is counted once a plane.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bench.gpu_model import sass
from bench.gpu_model.hardware import H100, SCHEDULERS, WARP, Gpu
from qsmengine.backend.signatures.nlm import PACKED_ROWS

KERNEL = "nlm_packed"
GROUP, DEPTH, STRANDS, COMPONENTS = 6, 29, 8, 4
"""Shifts together, planes of a tile, warps of a block (as in the kernel), components predicted."""
SHAPE, SEARCH = (256, 256, 160), 5
BUSY_WARPS = 1.5
"""Warps that a scheduler needs: in the blocks of differences and weights the compiler has a warp wait 1.2 to
1.4 cycles from one instruction to the next (control words of sm_90), so two warps fill them."""

_LABEL = re.compile(r"^(\.L_x_\d+):")
_CODE = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*);")
_WIDTHS = {"128": 4, "64": 2}


@dataclass(frozen=True)
class Step:
    """A warp's work for a plane and K shifts: instructions, and cycles of the unit for loads and exchanges."""

    instructions: float
    wavefronts: float
    differences: float  # instructions of the differences alone, which two planes more need

    @property
    def cycles(self) -> float:
        """Of a scheduler: issue, or its share of the multiprocessor's one load and store unit."""
        return max(self.instructions, SCHEDULERS * self.wavefronts)


def cycles(cubin: bytes) -> float | None:
    """Cycles of a scheduler for a warp of voxels of the volume and window that MNLM is predicted for."""
    text = sass.listing(cubin)
    return None if text is None else cycles_per_voxel(steps(blocks_of(text)), SHAPE, SEARCH, H100)


def blocks_of(text: str) -> list[Counter[str]]:
    """Opcodes of each block of straight code in nvdisasm's output of the kernel."""
    body = text.partition(f".text.{KERNEL}:\n")[2].partition("WARPSYNC.COLLECTIVE")[0]  # then: diverged warps
    targets = set(re.findall(r"BRA [^;]*`\((\.L_x_\d+)\)", body))
    found: list[Counter[str]] = [Counter()]
    for line in body.splitlines():
        if (label := _LABEL.match(line)) and label[1] in targets:
            found.append(Counter())
        elif code := _CODE.match(line):
            found[-1][code[1]] += 1
            if code[1].startswith(("BRA", "EXIT", "RET")):
                found.append(Counter())
    return [block for block in found if block]


def steps(blocks: list[Counter[str]]) -> dict[int, Step]:
    """Step of GROUP and of GROUP - 1 shifts, from the blocks of the kernel's machine code."""
    return {k: _step(blocks, k) for k in (GROUP, GROUP - 1)}


def _step(blocks: list[Counter[str]], k: int) -> Step:
    sums, pairs = PACKED_ROWS * k, (PACKED_ROWS + 2) * k * COMPONENTS
    first = _find(blocks, {"FFMA": pairs, "FADD": pairs + 2 * sums, "FMUL": 0}, 0)
    exchange = _find(blocks, {"SHFL": 2 * sums}, first)
    weights = _find(blocks, {"MUFU": sums, "FFMA": sums * (COMPONENTS + 1)}, exchange)
    collect = next(
        i for i in range(weights, len(blocks)) if _count(blocks[i], "LDS") and _count(blocks[i], "LDG")
    )
    last = next(i for i in range(collect, len(blocks)) if _count(blocks[i], "FADD") >= PACKED_ROWS * GROUP)
    small = [
        b for b in blocks[first - 3 : last + 1] if b.total() <= 3 * PACKED_ROWS * GROUP and not _count(b, "LDS")
    ]
    whole = [blocks[i] for i in sorted({first, exchange, weights})] + [
        b for b in small if b is not blocks[exchange]
    ]
    part = (COMPONENTS + 1) / STRANDS
    return Step(
        sum(b.total() for b in whole) + part * blocks[collect].total(),
        sum(_wavefronts(b) for b in whole) + part * _wavefronts(blocks[collect]),
        blocks[first].total(),
    )


def _count(block: Mapping[str, int], name: str) -> int:
    return sum(n for opcode, n in block.items() if opcode.split(".")[0] == name)


def _find(blocks: list[Counter[str]], wanted: Mapping[str, int], start: int) -> int:
    for i in range(start, len(blocks)):
        if all(_count(blocks[i], name) == n for name, n in wanted.items()):
            return i
    raise ValueError(f"{KERNEL}: no block with {dict(wanted)}")


def _wavefronts(block: Mapping[str, int]) -> float:
    """Cycles of the unit for loads, stores and exchanges: 128 bytes each.

    Rows of a shift begin anywhere, so a wide load from memory touches five lines, not four.
    """
    total = 0.0
    for opcode, n in block.items():
        parts = opcode.split(".")
        if parts[0] in {"LDG", "STG", "LDS", "STS", "LDL", "STL", "SHFL"}:
            width = next((_WIDTHS[p] for p in parts if p in _WIDTHS), 1)
            total += n * (1.25 * width if parts[0] == "LDG" else width)
    return total


def cycles_per_voxel(found: Mapping[int, Step], shape: tuple[int, int, int], search: int, gpu: Gpu) -> float:
    """Cycles of a scheduler for a warp of voxels, at full issue; tiles' edges and the last wave included."""
    groups = -(-(2 * search + 1) // GROUP)
    full = max(0, 2 * search + 1 - (GROUP - 1) * groups)
    each = (2 * search + 1) ** 2
    nx, ny, nz = shape
    tiles = math.ceil(math.ceil(ny / PACKED_ROWS) * (nz + 2) / (WARP - 2)) * math.ceil(nx / DEPTH)
    warps = {GROUP: full * each, GROUP - 1: (groups - full) * each}
    idle = -(groups * each) % STRANDS
    tile = sum(n * (DEPTH * found[k].cycles + 2 * found[k].differences) for k, n in warps.items())
    tile += idle * DEPTH * found[GROUP - 1].cycles
    waves = math.ceil(tiles / gpu.multiprocessors)  # one block fits on each
    return waves * gpu.multiprocessors * tile / (math.prod(shape) / WARP)
