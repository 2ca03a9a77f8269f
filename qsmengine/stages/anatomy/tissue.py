"""Grey matter, white matter and cerebrospinal fluid in each voxel of a T1-weighted image.

The image divided by a smooth receive field has five classes: three tissues with Gaussian intensities, and the
mixtures of neighbouring tissues, in which every proportion is equally probable:

    p(I | k) = N(I; mu_k, s_k)                                             tissue
    p(I | k, k+1) = integral over v in 0 .. 1 of N(I; v mu_k+1 + (1 - v) mu_k, s)    mixture.

The classes of the 26 neighbours are the prior (a Markov random field, mean-field approximation). Expectation
maximisation alternates probabilities, class parameters and the field, whose logarithm is a sum of products of
Legendre polynomials fitted to that of the image over its expectation. The fraction of a tissue is its
expectation, so that volumes are not biased by thresholds.

Assumes a brain mask without scalp, and intensities CSF < grey matter < white matter. Voxels that mix fluid and
white matter count as grey matter; so does the part of a tissue with another T1 that lies between the classes.

References: Shattuck et al. 2001, 10.1006/nimg.2000.0730 (mixtures); Zhang et al. 2001, 10.1109/42.906424
(Markov prior); Van Leemput et al. 1999, 10.1109/42.811270 (field).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tissue import TISSUE_STEP
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.domain import bounding_box
from qsmengine.ops.legendre import LegendreBasis, spread_voxels
from qsmengine.ops.order_statistics import percentile
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params

VOXELS = 40_000
"""Most voxels to which the field is fitted."""
LEAST = 1000
"""Least number of voxels of a brain."""
BINS = 512
START = (0.1, 0.5, 0.85)
"""Starting levels between the 1st and the 99th percentile."""
SETTLED = 2
"""Steps before the field is fitted for the first time."""
NARROWEST = 0.02
"""Least standard deviation of a class, relative to the brightest level."""
APART = 1.0
"""Least distance of neighbouring levels in standard deviations."""


class TissueParams(Params):
    """Parameters of the tissue classes."""

    strength: float = Field(
        0.6, ge=0, le=5, description="weight of the neighbours' classes; 0: voxels are independent"
    )
    order: int = Field(4, ge=0, le=6, description="largest total degree of the field's polynomials")
    iterations: int = Field(12, ge=1, le=100, description="steps of expectation maximisation")


class Tissue(NamedTuple):
    """Fractions of the tissues [1] and the image without its receive field, each (x, y, z)."""

    gm: Array
    wm: Array
    csf: Array
    corrected: Array


@dataclass
class _Classes:
    """Level and standard deviation of CSF, grey and white matter, and share of the five classes."""

    level: FloatArray
    spread: FloatArray
    share: FloatArray

    def on(self, device: Device) -> dict[str, Array]:
        return {
            name: device.asarray(np.asarray(getattr(self, name)), np.float32)
            for name in ("level", "spread", "share")
        }


def tissue(t1w: Array, mask: Array, grid: Grid, params: TissueParams, *, device: Device) -> Tissue:
    """Return the tissue fractions in the brain `mask` (x, y, z) of the image `t1w` (x, y, z), any unit.

    Raises
    ------
    InputError
        For an empty or small mask, and an image without three classes of intensity.
    """
    inside = checked_mask(mask, grid, device)
    count = int(inside.sum(dtype=np.int64))
    if count < LEAST:
        raise InputError(f"{count} voxels; tissue classes need {LEAST}", field="mask")
    image = device.asarray(t1w)
    box = tuple(slice(a, b) for a, b in zip(*bounding_box(inside), strict=True))
    xp = device.xp
    brain = device.asarray(xp.pad(inside[box], 1), np.uint8)
    reference = percentile(image[inside != 0], 99.0)
    if not reference > 0:
        raise InputError("no signal: the image is 0 in the brain", field="t1w")
    signal = device.asarray(xp.pad(image[box], 1)) / np.float32(reference)
    signal = xp.where(brain != 0, xp.maximum(signal, np.float32(0)), np.float32(0))
    found, field = _maximised(signal, brain, grid, params, device)
    inner = (slice(1, -1),) * 3
    maps = [device.zeros(grid.shape) for _ in range(4)]
    for whole, part in zip(maps, (found[1], found[2], found[0], signal / field), strict=True):
        whole[box] = part[inner]
    maps[3] *= np.float32(reference)
    return Tissue(*maps)


def _maximised(
    signal: Array, brain: Array, grid: Grid, params: TissueParams, device: Device
) -> tuple[Array, Array]:
    """Return the fractions (CSF, GM, WM; x, y, z) and the field (x, y, z)."""
    xp, shape = device.xp, tuple(signal.shape)
    classes = _start(to_numpy(signal)[to_numpy(brain) != 0])
    old = device.zeros((5, *shape))
    following, fraction, expected = (
        device.zeros((5, *shape)),
        device.zeros((3, *shape)),
        device.zeros(shape),
    )
    weights = device.asarray(_weights(grid), np.float32)
    basis = LegendreBasis.over(brain, params.order)
    field, strength = xp.ones(shape, np.float32), 0.0
    for step in range(params.iterations):
        corrected = signal / field
        launch(
            TISSUE_STEP, device, image=corrected, mask=brain, old=old, weights=weights, **classes.on(device),
            next=following, fraction=fraction, expected=expected, strength=strength,
        )  # fmt: skip
        old, following, strength = following, old, params.strength
        if step == params.iterations - 1:
            break
        classes = _updated(old, corrected, classes)
        if step >= SETTLED:
            field = _field(signal, expected, old, classes, basis, device)
    return fraction, field


def _start(values: Any) -> _Classes:
    """Return classes from the histogram of the brain's intensities, by one-dimensional k-means."""
    low, high = np.percentile(values, [1.0, 99.0])
    if not high > low:
        raise InputError("no contrast: the image is even in the brain", field="t1w")
    counts, edges = np.histogram(values, BINS, (low, high))
    places = (edges[1:] + edges[:-1]) / 2
    level = low + (high - low) * np.asarray(START)
    for _ in range(50):
        nearest = np.abs(places[:, None] - level).argmin(axis=1)
        sums = np.bincount(nearest, counts, 3)
        level = np.bincount(nearest, counts * places, 3) / np.maximum(sums, 1)
        if not sums.all():
            raise InputError("fewer than three classes of intensity in the brain", field="t1w")
    square = np.bincount(nearest, counts * (places - level[nearest]) ** 2, 3) / sums
    share = sums / sums.sum()
    mixed = np.array([share[0] / 2, share[0] / 2, share[1] / 2, (share[1] + share[2]) / 4, share[2] / 2])
    return _Classes(level, np.maximum(np.sqrt(square), NARROWEST), mixed / mixed.sum())


def _weights(grid: Grid) -> FloatArray:
    """Return the weights (27,) of the neighbours: the inverse of their distance; 0 for the voxel itself."""
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1) @ np.diag(grid.voxel_size)
    distance = np.linalg.norm(steps, axis=-1).ravel()
    weights: FloatArray = np.divide(min(grid.voxel_size), distance, out=np.zeros(27), where=distance > 0)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _updated(probability: Array, corrected: Array, before: _Classes) -> _Classes:
    """Return level, standard deviation and share of the classes from their probabilities."""
    share = np.array([float(p.sum(dtype=np.float64)) for p in probability])
    level, spread = before.level.copy(), before.spread.copy()
    for k in range(3):
        weight, total = probability[2 * k], max(share[2 * k], 1e-9)
        level[k] = float((weight * corrected).sum(dtype=np.float64)) / total
        square = weight * (corrected - np.float32(level[k])) ** 2
        spread[k] = max(float(np.sqrt(float(square.sum(dtype=np.float64)) / total)), NARROWEST)
    apart = np.diff(level) / np.sqrt((spread[:-1] ** 2 + spread[1:] ** 2) / 2)
    if not (apart > APART).all():
        raise InputError(
            f"no three tissues: their levels are {', '.join(f'{x:.2f}' for x in level)} of the brightest "
            "intensity, too close for their spread; is the image T1-weighted, and the mask the brain?",
            field="t1w",
        )
    return _Classes(level, spread, share / share.sum())


def _field(
    signal: Array, expected: Array, probability: Array, classes: _Classes, basis: LegendreBasis, device: Device
) -> Array:
    """Return the field (x, y, z), of geometric mean 1 over the fitted voxels, from grey and white matter."""
    known = (probability[0] + probability[1] < np.float32(0.5)) & (signal > 0) & (expected > 0)
    voxels = spread_voxels(known, VOXELS)
    field: Array = device.xp.ones(tuple(signal.shape), np.float32)
    if len(voxels[0]) < 20 * len(basis.powers):
        return field
    s, e, grey, white = (
        to_numpy(image)[voxels].astype(np.float64) for image in (signal, expected, *probability[2::2])
    )
    mixed = np.maximum(1 - grey - white, 0)
    variance = grey * classes.spread[1] ** 2 + white * classes.spread[2] ** 2
    variance += mixed * classes.spread[1] * classes.spread[2]
    weight = e * e / variance
    with threadpool_limits(1, user_api="blas"):
        columns = basis.columns(voxels)
        weighted = columns * weight
        coefficients = np.linalg.solve(weighted @ columns.T, weighted @ np.log(s / e))
        coefficients[0] -= float((coefficients @ columns).mean())
    field *= device.xp.exp(basis.image(coefficients, device))
    return field


METHODS = (
    Method(
        stage="tissue", name="mixtures", run=tissue, params=TissueParams,
        inputs=("t1w", "mask"), outputs={"gm": "1", "wm": "1", "csf": "1", "corrected": "arbitrary"},
        summary="three tissues and their mixtures with a Markov prior and a smooth receive field",
        doi="10.1006/nimg.2000.0730", bytes_per_voxel=200, within_mask=True,
    ),
)  # fmt: skip
