"""Brain mask from magnitude and phase quality, without atlas or external tools.

1. Magnitude: root of the sum of squares over the echoes, divided by its Gaussian mean over the
   foreground (receive bias).
2. Phase quality: mean ROMEO edge weight of each voxel, from the first one or two echoes. It is high in
   brain; it drops in air, bone and vessels, at the skull's fat-water border and near sinuses.
3. Score = magnitude * quality^2, thresholded by Otsu's method.
4. Erosion by `opening` mm cuts the bridges to scalp, eyes and neck. The component with the deepest part of the
   head is dilated by 1 mm more than it was eroded and intersected with the score above 0.8 times the threshold.
5. Closing by `closing` mm, then filling of holes.
6. Large voxels leave bridges through the skull. If an opening 1.5 times as wide leaves less than 4/5 of the
   brain, and one 1.8 times as wide nearly as much, the wider opening replaces the first.

Noise punctures the thresholded score, and erosion widens the holes until little is left of the brain. Filling
them by a vote of neighbours shows how much is lost: if erosion leaves less than 3/4 of what it leaves after the
vote, magnitude and quality are smoothed by a Gaussian of 0.6 `resolution` and steps 1 to 3 repeated. If holes
still dominate, the mask is refused.

All steps use the mean complex signal over blocks of voxels with edges up to `resolution`, so that the quality
depends little on voxel size and noise; distances are in mm. The mask is interpolated linearly to the grid.
Assumes a head, not a body; a skull-stripped brain keeps its outline within a few mm.

Every step runs on the device, by the same algorithm on CPU and GPU. Rounding of the mean signal's phase and of
sums differs between the two, so single voxels at a threshold may differ.

References: phase quality: Dymerska et al. 2021, 10.1002/mrm.28563; threshold: Otsu 1979,
10.1109/TSMC.1979.4310076.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.morphology import closed, dilated, eroded
from qsmengine.stages.echoes import check_series
from qsmengine.stages.mask.blocks import (
    Factors,
    block_factors,
    block_grid,
    block_mean,
    block_signal,
    block_size,
    onto_voxels,
    otsu,
)
from qsmengine.stages.mask.quality import image_quality
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params

_MAX_SCORE = 2.0
_LOWERED = 0.8
_REGROWN = 1.0
_SMOOTHING = 0.6
"""Standard deviation of the Gaussian against noise, divided by the resolution."""
_INTACT = 0.75
"""Least fraction of the eroded vote that erosion leaves of a score that noise does not puncture."""
_CANDIDATES = 4
_WIDER = (1.5, 1.8)
"""Multiples of the opening that show bridges which it leaves."""
_BRIDGED, _STEADY = 0.8, 0.9
"""With bridges the first leaves less than this share of the brain, the second more than this of the first."""


class PhaseMagnitudeParams(Params):
    """Parameters of the mask."""

    threshold: float | None = Field(
        None, gt=0, lt=1, description="threshold of the score; none: Otsu's, at most 0.5"
    )
    bias_sigma: Length = Field(20.0, gt=0, description="standard deviation of the bias field's Gaussian [mm]")
    opening: Length = Field(5.0, ge=0, description="radius of the opening that cuts bridges [mm]")
    closing: Length = Field(9.0, ge=0, description="radius of the closing of sulci and vessels [mm]")
    resolution: Length = Field(
        3.0, gt=0, description="voxels are averaged in blocks with edges up to this length [mm]"
    )


def phase_magnitude(
    magnitude: Array,
    phase: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: PhaseMagnitudeParams,
    *,
    device: Device,
) -> Array:
    """Return the brain mask, bool (x, y, z).

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
        Where to compute.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, a magnitude without signal, if noise dominates, or if
        nothing is left.
    """
    times = check_series(grid, echo_times, magnitude=magnitude, phase=phase)
    factors = block_factors(grid.voxel_size, params.resolution)
    power, signals = _blocks(magnitude, phase, factors, device)
    image = device.xp.sqrt(power)
    if not float(image.max()) > 0:
        raise InputError("no signal: the magnitude is 0 everywhere", field="magnitude")
    quality = image_quality([m for m, _ in signals], [p for _, p in signals], times, device)
    size = block_size(grid.voxel_size, factors)
    mask = _brain(image, quality, size, params, device)
    return device.asarray(onto_voxels(mask, factors, grid.shape, device), bool)


def _blocks(
    magnitude: Array, phase: Array, factors: Factors, device: Device
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return each block's squared mean magnitude, summed over echoes, and its mean signal of the first two."""
    power = device.zeros(block_grid(magnitude.shape[:3], factors))
    signals = []
    for echo in range(magnitude.shape[3]):
        modulus = device.asarray(magnitude[..., echo])
        mean = block_mean(modulus, factors, device)
        power += mean * mean
        if echo < 2:
            signals.append(block_signal(modulus, phase[..., echo], factors, device))
    return power, signals


def _score(image: Array, quality: Array, size: Vector3, params: PhaseMagnitudeParams, device: Device) -> Array:
    """Return the bias-corrected magnitude, about 1 in brain, times the squared quality; 0 in the background."""
    xp = device.xp
    foreground = image > np.float32(0.5 * otsu(image, device))
    weight = xp.where(foreground, quality * quality, np.float32(0))
    total = gaussian_filter(image * weight, size, params.bias_sigma, device)
    share = gaussian_filter(weight, size, params.bias_sigma, device)
    mean = total / xp.maximum(share, np.float32(1e-3))
    relative = image / xp.maximum(mean, np.float32(1e-6) * image.max())
    score: Array = xp.minimum(relative, np.float32(_MAX_SCORE)) * weight
    return score


def _brain(image: Array, quality: Array, size: Vector3, params: PhaseMagnitudeParams, device: Device) -> Array:
    """Return the brain mask; magnitude and quality (x, y, z) are smoothed if noise punctures their score."""
    score = _score(image, quality, size, params, device)
    threshold = _threshold(score, params, device)
    if _left_by_erosion(score, threshold, size, params, device) < _INTACT:
        sigma = _SMOOTHING * params.resolution
        image, quality = (gaussian_filter(part, size, sigma, device) for part in (image, quality))
        score = _score(image, quality, size, params, device)
        threshold = _threshold(score, params, device)
        if _left_by_erosion(score, threshold, size, params, device) < _INTACT:
            raise InputError(
                "no brain found: noise breaks up magnitude and phase quality; give a mask (--mask)",
                field="magnitude",
            )
    return _without_bridges(score, threshold, size, params, device)


def _without_bridges(
    score: Array, threshold: float, size: Vector3, params: PhaseMagnitudeParams, device: Device
) -> Array:
    """Return the brain after the opening, or after a wider one if that shows that bridges were left."""

    def opened(multiple: float) -> Array:
        return _opened(score, threshold, size, params, multiple * params.opening, device)

    brain = opened(1.0)
    try:
        wider = opened(_WIDER[0])
        bridged = int(wider.sum()) < _BRIDGED * int(brain.sum())
        steady = bridged and int(opened(_WIDER[1]).sum()) > _STEADY * int(wider.sum())
    except InputError:  # nothing is left: the object is thin
        return brain
    return wider if steady else brain


def _opened(
    score: Array, threshold: float, size: Vector3, params: PhaseMagnitudeParams, opening: float, device: Device
) -> Array:
    """Return the brain that an opening by `opening` mm leaves, with gaps closed and holes filled."""
    core = _thickest(score > np.float32(threshold), size, params, opening, device)
    grown = dilated(core, opening + _REGROWN, size, device)
    brain = _largest(grown & (score > np.float32(_LOWERED * threshold)), device)
    return filled(closed(brain, params.closing, size, device), device)


def _threshold(score: Array, params: PhaseMagnitudeParams, device: Device) -> float:
    return params.threshold or min(otsu(score[score > 0], device), 0.5)


def _left_by_erosion(
    score: Array, threshold: float, size: Vector3, params: PhaseMagnitudeParams, device: Device
) -> float:
    """Return the size of the eroded score relative to that after a vote of neighbours, 1 if both are empty."""
    bright = score > np.float32(threshold)
    left, voted = (
        int(eroded(mask, params.opening, size, device).sum())
        for mask in (bright, _vote(bright, size, params, device))
    )
    return left / voted if voted else 1.0


def _vote(bright: Array, size: Vector3, params: PhaseMagnitudeParams, device: Device) -> Array:
    """Return the voxels around which most of the neighbours are in `bright`."""
    share = gaussian_filter(bright.astype(np.float32), size, _SMOOTHING * params.resolution, device)
    votes: Array = share > np.float32(0.5)
    return votes


def _thickest(
    bright: Array, size: Vector3, params: PhaseMagnitudeParams, opening: float, device: Device
) -> Array:
    """Return the component of `bright`, eroded by `opening`, that holds most of the deepest part of the head.

    Noise makes holes in the brain, by which erosion can leave less of it than of the muscles of face and neck.
    The depth, twice `opening`, is therefore measured after a vote of neighbours.
    """
    parts = eroded(bright, opening, size, device)
    votes = _vote(bright, size, params, device)
    deep = largest_component(eroded(votes, 2 * opening, size, device), device) & parts
    best = largest = _largest(parts, device)
    for _ in range(_CANDIDATES):
        if 2 * int((best & deep).sum()) >= int(deep.sum()):
            return best
        parts = parts & ~best
        if not bool(parts.any()):
            break
        best = largest_component(parts, device)
    return largest


def _largest(mask: Array, device: Device) -> Array:
    if not bool(mask.any()):
        raise InputError("no brain found: nothing is left above the threshold", field="magnitude")
    return largest_component(mask, device)


METHODS = (
    Method(
        stage="mask", name="phase_magnitude", run=phase_magnitude, params=PhaseMagnitudeParams,
        inputs=("magnitude", "phase", "echo_times"), outputs={"mask": "1"},
        summary="brain from magnitude and phase quality", doi="10.1002/mrm.28563", bytes_per_voxel=60,
    ),
)  # fmt: skip
