"""Sphere of RESHARP and iSMV, its high-pass filter, and the mask that it fits into."""

from __future__ import annotations

from typing import NamedTuple

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.ops.smv import mean_spectrum, sphere_fits


class SphereProblem(NamedTuple):
    """Arrays on the solver's grid."""

    domain: Domain
    fft: RealFFT
    field: Array
    """Total field inside the mask."""
    high_pass: Array
    """Half spectrum 1 - S^ of the filter f - S * f, float32."""
    eroded: Array
    """1 where the whole sphere lies in the mask."""


def sphere_problem(total_field: Array, mask: Array, radius: float, grid: Grid, device: Device) -> SphereProblem:
    """Return a sphere of `radius` [mm], at least the longest voxel edge, on a grid large enough not to wrap.

    The filter is balanced for anisotropic voxels, so that it also removes harmonic functions of second order.

    Raises
    ------
    InputError
        If the sphere does not fit into the mask.
    """
    radius = max(radius, *grid.voxel_size)
    domain = Domain.for_kernel(mask, grid, radius, device)
    if not sphere_fits(radius, grid.voxel_size, domain.box_shape):
        raise _too_thin(radius, grid)
    fft = RealFFT(domain.shape, device)
    mean, sphere, count = mean_spectrum(fft, radius, grid.voxel_size, device)
    covered = fft.filter(domain.insert(mask), sphere)
    eroded = device.asarray(covered >= 1.0 - 0.5 / count)
    if not bool(eroded.any()):
        raise _too_thin(radius, grid)
    return SphereProblem(domain, fft, domain.insert(total_field, mask), 1.0 - mean, eroded)


def _too_thin(radius: float, grid: Grid) -> InputError:
    length = radius * (grid.length_scale or 1.0)
    return InputError(
        f"the mask is too thin: no sphere of radius {length:.3g} mm fits into it; choose a smaller radius",
        field="mask",
    )
