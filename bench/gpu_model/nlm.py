"""Cost of kernels/nlm_packed.cu: a warp's instructions for a plane, from its machine code.

A strand (a warp) takes K shifts through the planes of a tile. For four components and no map of the noise, the
blocks of straight code that do the work are found by their instructions: the differences of K shifts, the
weights with the weighted sums, and the sum over the strands (work of N + 1 of them). A plane costs the shortest
way through them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

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
_TARGET = re.compile(r"`\((\.L_x_\d+)\)")
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


@dataclass
class Block:
    """Straight code: how often each opcode appears, and the numbers of the blocks that may follow."""

    counts: Counter[str]
    next: list[int]


def blocks_of(text: str) -> list[Block]:
    """Blocks of straight code in nvdisasm's output of the kernel."""
    body = text.partition(f".text.{KERNEL}:\n")[2].partition("WARPSYNC.COLLECTIVE")[0]  # then: diverged warps
    targets = set(re.findall(r"BRA [^;]*`\((\.L_x_\d+)\)", body))
    found, labels, jumps = [Block(Counter(), [])], {}, []

    def begin(*, follows: bool) -> None:
        found[-1].next += [len(found)] if follows else []
        found.append(Block(Counter(), []))

    for line in body.splitlines():
        if (label := _LABEL.match(line)) and label[1] in targets:
            begin(follows=True)
            labels[label[1]] = len(found) - 1
        elif code := _CODE.match(line):
            found[-1].counts[code[1]] += 1
            if code[1].startswith(("BRA", "EXIT", "RET")):
                if code[1] != "BRA.DIV" and (target := _TARGET.search(code[2])):
                    jumps.append((len(found) - 1, target[1]))
                begin(follows="@" in line or code[1] == "BRA.DIV" or "P" in code[2].partition("`")[0])
    for at, name in jumps:
        found[at].next.append(labels[name])
    return found


def steps(blocks: list[Block]) -> dict[int, Step]:
    """Step of GROUP and of GROUP - 1 shifts, from the blocks of the kernel's machine code."""
    return {k: _step(blocks, k) for k in (GROUP, GROUP - 1)}


def _step(blocks: list[Block], k: int) -> Step:
    """The shortest way round the loop over planes through the blocks that do the work.

    Strands without a sum to collect go round the blocks that load, add and store it.
    """
    sums, pairs = PACKED_ROWS * k, (PACKED_ROWS + 2) * k * COMPONENTS
    first = _find(blocks, {"FFMA": pairs, "FADD": pairs + 2 * sums, "FMUL": 0}, 0)
    weights = _find(blocks, {"MUFU": sums, "FFMA": sums * (COMPONENTS + 1), "FMNMX": 0}, first)
    collect = _find(blocks, {"LDS": STRANDS * PACKED_ROWS // 2, "STG": PACKED_ROWS}, weights)
    load = _find(blocks, {"LDG": PACKED_ROWS}, weights)
    collecting = _way(blocks, [first, weights, load, collect, first])
    others = _way(blocks, [first, weights, first], without=collect)
    part = (COMPONENTS + 1) / STRANDS
    return Step(
        part * collecting.total() + (1 - part) * others.total(),
        part * _wavefronts(collecting) + (1 - part) * _wavefronts(others),
        blocks[first].counts.total(),
    )


def _way(blocks: list[Block], stops: list[int], without: int = -1) -> Counter[str]:
    """Opcodes on the shortest way from the first to the last of `stops` past the others, the last left out."""
    total: Counter[str] = Counter()
    for start, end in pairwise(stops):
        reached: list[tuple[int, int, tuple[int, ...]]] = [(0, start, (start,))]
        done = {without}
        while reached:
            length, at, way = heappop(reached)
            if at == end and len(way) > 1:
                total.update(sum((blocks[i].counts for i in way[:-1]), Counter[str]()))
                break
            if at in done:
                continue
            done.add(at)
            length += blocks[at].counts.total()
            for follower in blocks[at].next:
                heappush(reached, (length, follower, (*way, follower)))
        else:
            raise ValueError(f"{KERNEL}: no way from block {start} to {end}")
    return total


def _count(block: Mapping[str, int], name: str) -> int:
    return sum(n for opcode, n in block.items() if opcode.split(".")[0] == name)


def _find(blocks: list[Block], wanted: Mapping[str, int], start: int) -> int:
    for i in range(start, len(blocks)):
        if all(_count(blocks[i].counts, name) == n for name, n in wanted.items()):
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
