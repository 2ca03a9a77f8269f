"""V-SHARP: sophisticated harmonic artefact reduction with spheres of varying radius.

Fields of sources outside the mask are harmonic inside it, so subtracting the mean over a sphere removes
them: h = f - S_r * f. Every voxel uses the largest radius r whose sphere around it lies in the mask. The
remainder is the local field convolved with (delta - S_r); it is deconvolved by dividing by 1 - S^ of the
largest radius where that is at least `threshold`.

For anisotropic voxels the mean is balanced, so that it also removes harmonic functions of second order.

Assumes that the field is valid in the whole mask. The mask shrinks by the smallest sphere. Voxels
treated with small spheres lose some local field, because the deconvolution assumes the largest.

References: Schweser et al. 2011, 10.1016/j.neuroimage.2010.10.070 (SHARP); Li et al. 2011,
10.1016/j.neuroimage.2010.12.064; Wu et al. 2012, 10.1002/mrm.23000 (varying radius).
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.smv import SMV_DECONVOLVE, SMV_SELECT, SMV_SPECTRA
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import Domain
from qsmengine.ops.smv import mean_spectrum, sphere_fits
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Mm, Params, model_validator


class VsharpParams(Params):
    """Parameters of V-SHARP."""

    max_radius: Mm = Field(12.0, gt=0, le=40, description="radius of the largest sphere [mm]")
    min_radius: Length = Field(1.0, gt=0, description="smallest radius [mm], at least the longest voxel edge")
    step: Length = Field(1.0, gt=0, description="spacing of the radii [mm], at least the shortest voxel edge")
    threshold: float = Field(0.05, gt=0, lt=1, description="deconvolve where 1 - S^ is at least this")

    @model_validator(mode="after")
    def _ordered(self) -> VsharpParams:
        if self.min_radius > self.max_radius:
            raise ValueError(f"min_radius {self.min_radius} exceeds max_radius {self.max_radius}")
        return self


def vsharp(
    total_field: Array, mask: Array, grid: Grid, params: VsharpParams, *, device: Device
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] and its mask from the total field (x, y, z) [ppm] inside `mask`.

    Raises
    ------
    InputError
        If no sphere fits into the mask.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.max_radius, device)
    fft = RealFFT(domain.shape, device)
    size, box = grid.voxel_size, domain.box_shape
    radii = [radius for radius in sphere_radii(params, size) if sphere_fits(radius, size, box)]
    if not radii:
        raise InputError("the mask is too thin: no sphere fits into it", field="mask")
    field = domain.insert(total_field, mask)
    filtered, inside = device.zeros(domain.shape), device.zeros(domain.shape)
    largest = _filter_by_radius(field, domain.insert(mask), filtered, inside, fft, grid, radii)
    if not bool(inside.any()):
        raise InputError("the mask is too thin: no sphere fits into it", field="mask")
    spectrum = fft.forward(filtered)
    launch(SMV_DECONVOLVE, device, spectrum=spectrum, mean=largest, threshold=params.threshold, scale=fft.scale)
    local = fft.inverse(spectrum, scaled=False)
    local *= inside
    return BackgroundResult(domain.extract(local), domain.extract(inside) > 0)


def sphere_radii(params: VsharpParams, voxel_size: Vector3) -> list[float]:
    """Return the radii [mm], descending, at least one voxel apart, none below the longest voxel edge."""
    smallest = max(params.min_radius, *voxel_size)
    step = max(params.step, min(voxel_size))
    count = max(0, math.floor((params.max_radius - smallest) / step + 1e-6)) + 1
    return [max(params.max_radius, smallest) - i * step for i in range(count)]


def _filter_by_radius(
    field: Array, mask: Array, filtered: Array, inside: Array, fft: RealFFT, grid: Grid, radii: list[float]
) -> Array:
    """Fill `filtered` and `inside` from the largest sphere down; return the spectrum of the largest mean.

    The deconvolution uses the largest sphere that fits anywhere.
    """
    device = fft.device
    field_spectrum, mask_spectrum = fft.forward(field), fft.forward(mask)
    work = [device.empty(fft.spectrum_shape, np.complex64) for _ in range(2)]
    mean_field, mean_mask = device.empty(fft.shape), device.empty(fft.shape)
    largest: Array | None = None
    for radius in radii:
        mean, sphere, count = mean_spectrum(fft, radius, grid.voxel_size, device)
        launch(
            SMV_SPECTRA, device, field=field_spectrum, mask=mask_spectrum, mean=mean, sphere=sphere,
            mean_field=work[0], mean_mask=work[1], scale=fft.scale,
        )  # fmt: skip
        fft.inverse(work[0], mean_field, scaled=False)
        fft.inverse(work[1], mean_mask, scaled=False)
        launch(
            SMV_SELECT, device, field=field, mean_field=mean_field, mean_mask=mean_mask,
            filtered=filtered, inside=inside, full=1.0 - 0.5 / count,
        )  # fmt: skip
        if largest is None and bool(inside.any()):
            largest = mean
    return mean if largest is None else largest


METHODS = (
    Method(
        stage="background", name="vsharp", run=vsharp, params=VsharpParams,
        inputs=("total_field", "mask"), outputs={"local_field": "ppm", "mask": "1"},
        summary="spherical mean values with varying radius", doi="10.1002/mrm.23000",
        bytes_per_voxel=200, reach=lambda params: params.max_radius,
        linear=True,
    ),
)  # fmt: skip
