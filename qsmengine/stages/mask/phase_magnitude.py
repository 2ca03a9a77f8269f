"""Brain mask from magnitude and phase quality, without atlas or outside tools.

1. Magnitude: root of the sum of squares over the echoes, divided by its own Gaussian mean over the
   foreground (receive bias).
2. Phase quality: mean ROMEO edge weight of each voxel, from the first one or two echoes. It is high in
   brain; it drops in air, bone and vessels, at the skull's fat-water border and beside sinuses.
3. Score = magnitude * quality^2, thresholded after Otsu.
4. Erosion by `opening` mm cuts the bridges to scalp, eyes and neck; the largest component is dilated
   back by 1 mm more and cut with a threshold lowered to 0.8.
5. Closing by `closing` mm, then filling of holes.

Everything works on the mean complex signal over blocks of voxels with edges up to `resolution`, so the
quality depends little on voxel size and noise; distances are in mm. Averaging and morphology run on the
host (NumPy, SciPy): arrays of a GPU are copied there. The mask is brought back to the grid by linear
interpolation. Assumes a head, not a body; a brain already cut out keeps its outline within a few mm.

References: phase quality: Dymerska et al. 2021, 10.1002/mrm.28563; threshold: Otsu 1979,
10.1109/TSMC.1979.4310076.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.stages.echoes import check_series
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.phase.growth import edge_costs, edge_quality

_MAX_SCORE = 2.0
_LOWERED = 0.8
_REGROWN = 1.0

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class PhaseMagnitudeParams(Params):
    """Parameters of the mask."""

    threshold: float | None = Field(None, gt=0, lt=1, description="of the score; none: Otsu's, at most 0.5")
    bias_sigma: float = Field(20.0, gt=0, description="standard deviation of the bias field's Gaussian [mm]")
    opening: float = Field(5.0, ge=0, description="radius that cuts bridges [mm]")
    closing: float = Field(9.0, ge=0, description="radius that closes sulci and vessels [mm]")
    resolution: float = Field(3.0, gt=0, description="voxels are joined to blocks up to this edge [mm]")


def phase_magnitude(
    magnitude: Array,
    phase: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: PhaseMagnitudeParams,
    *,
    device: Device,
) -> Array:
    """Brain mask, bool (x, y, z).

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit; voxels that are not finite count as 0.
    phase
        (x, y, z, echo) [rad], wrapped; the phase offset does not matter.
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where the phase quality is computed and the mask is returned.

    Raises
    ------
    InputError
        For shapes or echo times that do not fit, a magnitude without signal, or when nothing is left.
    """
    times = check_series(grid, echo_times, magnitude=magnitude, phase=phase)
    factors = _factors(grid.voxel_size, params.resolution)
    blocks = [_blocks(magnitude[..., e], phase[..., e], factors) for e in range(min(2, len(times)))]
    combined = np.sqrt(sum(_block_mean(_finite(magnitude[..., e]), factors) ** 2 for e in range(len(times))))
    if not combined.max() > 0:
        raise InputError("no signal: the magnitude is 0 everywhere", field="magnitude")
    voxel_size = _scaled(grid.voxel_size, factors)
    score = _score(combined, to_numpy(_quality(blocks, times, device)), voxel_size, params)
    return device.asarray(_onto(_clean(score, voxel_size, params), factors, grid.shape), bool)


def _finite(image: Array) -> Volume:
    host = to_numpy(image)
    return np.where(np.isfinite(host), host, 0).astype(np.float32)


def _blocks(magnitude: Array, phase: Array, factors: tuple[int, int, int]) -> tuple[Volume, Volume]:
    """Magnitude and phase of the mean complex signal over each block."""
    modulus, angle = _finite(magnitude), _finite(phase)
    if max(factors) == 1:
        return modulus, angle
    re, im = _block_mean(modulus * np.cos(angle), factors), _block_mean(modulus * np.sin(angle), factors)
    return np.hypot(re, im), np.arctan2(im, re)


def _quality(blocks: list[tuple[Volume, Volume]], times: tuple[float, ...], device: Device) -> Array:
    weight, first = (device.asarray(part) for part in blocks[0])
    everywhere = device.zeros(tuple(first.shape), np.uint8) + np.uint8(1)
    if len(blocks) == 1:
        return edge_quality(edge_costs(first, weight, everywhere, device), device)
    other = device.asarray(blocks[1][1])
    cost = edge_costs(first, weight, everywhere, device, other=other, ratio=times[0] / times[1])
    return edge_quality(cost, device)


def _score(magnitude: Volume, quality: Volume, voxel_size: Vector3, params: PhaseMagnitudeParams) -> Volume:
    """Bias-corrected magnitude, about 1 in brain, times the squared quality; 0 in the background."""
    from scipy.ndimage import gaussian_filter

    foreground = magnitude > 0.5 * _otsu(magnitude)
    weight = np.where(foreground, quality**2, np.float32(0))
    sigma = [params.bias_sigma / h for h in voxel_size]
    mean = gaussian_filter(magnitude * weight, sigma) / np.maximum(gaussian_filter(weight, sigma), 1e-3)
    relative = magnitude / np.maximum(mean, 1e-6 * magnitude.max())
    score: Volume = np.minimum(relative, np.float32(_MAX_SCORE)) * weight
    return score


def _clean(score: Volume, voxel_size: Vector3, params: PhaseMagnitudeParams) -> Mask:
    from scipy.ndimage import binary_fill_holes

    threshold = params.threshold or min(_otsu(score[score > 0]), 0.5)
    core = _largest(_eroded(score > threshold, params.opening, voxel_size))
    grown = _dilated(core, params.opening + _REGROWN, voxel_size)
    brain = _largest(grown & (score > _LOWERED * threshold))
    closed = _eroded(_dilated(brain, params.closing, voxel_size), params.closing, voxel_size) | brain
    return np.asarray(binary_fill_holes(closed), dtype=np.bool_)


def _otsu(values: npt.NDArray[Any]) -> float:
    """Threshold that maximises the variance between two classes, from 256 bins up to the 99.9th percentile."""
    flat = values.ravel()
    if flat.size == 0:
        raise InputError("no voxel has signal and coherent phase", field="phase")
    counts, edges = np.histogram(flat, 256, (0.0, max(float(np.percentile(flat, 99.9)), 1e-30)))
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / below[-1] - moment) ** 2 / (below * above)
    return float(centres[int(np.nanargmax(np.where(above > 0, between, 0)))])


def _eroded(mask: Mask, radius: float, voxel_size: Vector3) -> Mask:
    """Voxels further than `radius` [mm] from the outside; beyond the image nothing counts as outside."""
    from scipy.ndimage import distance_transform_edt

    if radius == 0 or mask.all():
        return mask
    return np.asarray(distance_transform_edt(mask, sampling=voxel_size) > radius, dtype=np.bool_)


def _dilated(mask: Mask, radius: float, voxel_size: Vector3) -> Mask:
    return ~_eroded(~mask, radius, voxel_size)


def _largest(mask: Mask) -> Mask:
    from scipy.ndimage import label

    labels, count = label(mask)
    if count == 0:
        raise InputError("no brain found: nothing is left above the threshold", field="magnitude")
    sizes = np.bincount(labels.ravel())
    return np.asarray(labels == int(sizes[1:].argmax()) + 1, dtype=np.bool_)


def _factors(voxel_size: Vector3, resolution: float) -> tuple[int, int, int]:
    x, y, z = (max(1, math.floor(resolution / h + 1e-3)) for h in voxel_size)
    return x, y, z


def _scaled(voxel_size: Vector3, factors: tuple[int, int, int]) -> Vector3:
    x, y, z = (h * f for h, f in zip(voxel_size, factors, strict=True))
    return x, y, z


def _block_mean(image: Volume, factors: tuple[int, int, int]) -> Volume:
    """Mean over blocks of voxels; the last block of an axis repeats the last voxel where it is not full."""
    padded = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factors, strict=True)], mode="edge")
    for axis, factor in enumerate(factors):
        if factor > 1:
            shape = (*padded.shape[:axis], -1, factor, *padded.shape[axis + 1 :])
            padded = padded.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return padded


def _onto(mask: Mask, factors: tuple[int, int, int], shape: tuple[int, int, int]) -> Mask:
    """Mask of blocks on the grid of voxels: interpolated linearly, at least one half."""
    from scipy.ndimage import affine_transform

    if max(factors) == 1:
        return mask
    scale = 1.0 / np.asarray(factors)
    image = affine_transform(
        mask.astype(np.float32), scale, (scale - 1) / 2, output_shape=shape, order=1, mode="nearest"
    )
    return np.asarray(image >= 0.5, dtype=np.bool_)


METHODS = (
    Method(
        stage="mask", name="phase_magnitude", run=phase_magnitude, params=PhaseMagnitudeParams,
        inputs=("magnitude", "phase", "echo_times"), outputs={"mask": "1"},
        summary="brain from magnitude and phase quality", doi="10.1002/mrm.28563", bytes_per_voxel=60,
    ),
)  # fmt: skip
