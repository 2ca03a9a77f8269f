"""Blocks and warps of a kernel that a multiprocessor of compute capability 9.0 holds at once.

The limits are those of the CUDA C++ Programming Guide (Technical Specifications per Compute Capability).
"""

from __future__ import annotations

from dataclasses import dataclass

WARPS, BLOCKS = 64, 32
"""Most resident warps and blocks."""
REGISTERS, REGISTER_UNIT = 65536, 256
"""Of a multiprocessor, and the unit in which a warp gets them."""
SHARED, SHARED_UNIT, SHARED_RESERVED = 228 * 1024, 128, 1024
"""Bytes of shared memory, the unit of a block's share, what the system takes for each block."""
LANES = 32


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks and warps, and what limits them."""

    blocks: int
    warps: int
    limit: str

    @property
    def share(self) -> float:
        """Of the warps that a multiprocessor can hold."""
        return self.warps / WARPS


def occupancy(registers: int, shared_bytes: int, threads: int = 256) -> Occupancy:
    """Occupancy of blocks of `threads` threads with `registers` each and `shared_bytes` a block.

    Raises
    ------
    ValueError
        For a block that does not fit.
    """
    warps = _up(threads, LANES) // LANES
    limits = {"warps": WARPS // warps, "blocks": BLOCKS}
    if registers:
        per_warp = _up(registers * LANES, REGISTER_UNIT)
        limits["registers"] = REGISTERS // per_warp // warps
    limits["shared memory"] = SHARED // (_up(shared_bytes, SHARED_UNIT) + SHARED_RESERVED)
    limit = min(limits, key=lambda name: limits[name])
    if limits[limit] == 0:
        raise ValueError(f"a block of {threads} threads does not fit: too much of {limit}")
    return Occupancy(limits[limit], limits[limit] * warps, limit)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
