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

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.stages.echoes import check_series
from qsmengine.stages.mask.blocks import (
    Mask,
    Volume,
    block_factors,
    block_mean,
    block_size,
    finite,
    onto_voxels,
    otsu,
)
from qsmengine.stages.mask.morphology import closed, dilated, eroded, filled, largest_component
from qsmengine.stages.mask.quality import image_quality
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params

_MAX_SCORE = 2.0
_LOWERED = 0.8
_REGROWN = 1.0


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
    factors = block_factors(grid.voxel_size, params.resolution)
    blocks = [_blocks(magnitude[..., e], phase[..., e], factors) for e in range(min(2, len(times)))]
    combined = np.sqrt(sum(block_mean(finite(magnitude[..., e]), factors) ** 2 for e in range(len(times))))
    if not combined.max() > 0:
        raise InputError("no signal: the magnitude is 0 everywhere", field="magnitude")
    voxel_size = block_size(grid.voxel_size, factors)
    quality = to_numpy(image_quality([m for m, _ in blocks], [p for _, p in blocks], times, device))
    score = _score(combined, quality, voxel_size, params)
    return device.asarray(onto_voxels(_clean(score, voxel_size, params), factors, grid.shape), bool)


def _blocks(magnitude: Array, phase: Array, factors: tuple[int, int, int]) -> tuple[Volume, Volume]:
    """Magnitude and phase of the mean complex signal over each block."""
    modulus, angle = finite(magnitude), finite(phase)
    if max(factors) == 1:
        return modulus, angle
    re, im = block_mean(modulus * np.cos(angle), factors), block_mean(modulus * np.sin(angle), factors)
    return np.hypot(re, im), np.arctan2(im, re)


def _score(magnitude: Volume, quality: Volume, voxel_size: Vector3, params: PhaseMagnitudeParams) -> Volume:
    """Bias-corrected magnitude, about 1 in brain, times the squared quality; 0 in the background."""
    from scipy.ndimage import gaussian_filter

    foreground = magnitude > 0.5 * otsu(magnitude)
    weight = np.where(foreground, quality**2, np.float32(0))
    sigma = [params.bias_sigma / h for h in voxel_size]
    mean = gaussian_filter(magnitude * weight, sigma) / np.maximum(gaussian_filter(weight, sigma), 1e-3)
    relative = magnitude / np.maximum(mean, 1e-6 * magnitude.max())
    score: Volume = np.minimum(relative, np.float32(_MAX_SCORE)) * weight
    return score


def _clean(score: Volume, voxel_size: Vector3, params: PhaseMagnitudeParams) -> Mask:
    threshold = params.threshold or min(otsu(score[score > 0]), 0.5)
    core = _largest(eroded(score > threshold, params.opening, voxel_size))
    grown = dilated(core, params.opening + _REGROWN, voxel_size)
    brain = _largest(grown & (score > _LOWERED * threshold))
    return filled(closed(brain, params.closing, voxel_size))


def _largest(mask: Mask) -> Mask:
    if not mask.any():
        raise InputError("no brain found: nothing is left above the threshold", field="magnitude")
    return largest_component(mask)


METHODS = (
    Method(
        stage="mask", name="phase_magnitude", run=phase_magnitude, params=PhaseMagnitudeParams,
        inputs=("magnitude", "phase", "echo_times"), outputs={"mask": "1"},
        summary="brain from magnitude and phase quality", doi="10.1002/mrm.28563", bytes_per_voxel=60,
    ),
)  # fmt: skip
