"""The boundary-value problem before a total field inversion: gaps of the field, and its harmonic part."""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain, bounding_box
from qsmengine.ops.nearest import nearest_known
from qsmengine.solvers.stopping import Stopping
from qsmengine.stages.background.lbv import interior, without_harmonic


def without_gaps(field: Array, known: Array, mask: Array, device: Device) -> Array:
    """Return `field` (x, y, z) with unknown voxels of `mask` set to the nearest known value."""
    gaps = mask & ~known
    if not bool(gaps.any()):
        return field
    start, stop = bounding_box(gaps)  # known voxels enclose every gap, so one more layer includes the nearest
    box = tuple(slice(max(a - 1, 0), b + 1) for a, b in zip(start, stop, strict=True))
    nearest = nearest_known(known[box], gaps[box], device)
    part = field[box]
    complete = field.copy()
    complete[box] = device.xp.where(gaps[box], part.reshape(-1)[nearest], part)
    return complete


def boundary_values(
    total_field: Array, mask: Array, grid: Grid, tolerance: float, device: Device
) -> tuple[Array, Array]:
    """Return the inner voxels of `mask` (x, y, z), and the total field minus its harmonic part there.

    Raises
    ------
    InputError
        If the mask has no inner voxels.
    """
    domain = Domain.for_kernel(mask, grid, 0.0, device)
    inner = interior(domain.insert(mask) > 0, 0)
    field = domain.insert(total_field, mask)
    local = without_harmonic(field, inner, grid.voxel_size, Stopping(60, tolerance, 2), device)
    return domain.extract(inner) > 0, domain.extract(local)
