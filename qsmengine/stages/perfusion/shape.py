"""Shape of the residue function, estimated once for the whole brain.

A single curve does not determine the shape of its residue function (:mod:`qsmengine.stages.perfusion.residue`)
as well as its delay and mean transit time; the mean curves of many blocks do. For each shape, flow, mean
transit time and delay are fitted to some hundred blocks. The score is the mean logarithm of their misfits over
those of an exponential, without the smallest and largest twentieth. Of the shapes within a tolerance of the
best, the simplest is taken: exponential, gamma, gamma after a plateau. The tolerance is `TOLERANCE` times the
curves' power over their misfit; below that, errors of the artery's curve matter as much.

The flows of shapes within this tolerance of the best give the range of factors by which the mean flow could
differ: what the data leave open. Equal parts of an exponential and a gamma distribution are tried for this
range only: without them, it would be narrow where the shape is none of those above.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.ops.order_statistics import median
from qsmengine.stages.diffusion.planes import Planes
from qsmengine.stages.perfusion.curves import Curves
from qsmengine.stages.perfusion.residue import EXPONENTIAL, Mixture, Residue
from qsmengine.stages.perfusion.transform import FloatArray
from qsmengine.stages.perfusion.transit import Fitted, TransitParams, fit_transit, no_prior

TOLERANCE = 2e-5
SHAPES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 30.0)
"""Values of k that are tried without a plateau."""
_PLATEAUS = (0.15, 0.3, 0.6)
_POWERS = (0.7, 1.5)
"""With a plateau p, k is searched near the best k without it times (1 - p) to these powers."""
_MIXED = (4.0, 10.0, 30.0)
"""Values of k that are mixed with an exponential."""
_BLOCKS = 400
"""Number of blocks, within a factor of two."""
_FEWEST = 20
_USUAL = {"shortest": 1.0, "longest": 20.0}
"""Range of mean transit times of blocks [s]."""
_FULL = 0.75
"""Smallest share of a block in the brain."""


class Shape(NamedTuple):
    """Shape of the residue function; factors of the mean flow by other shapes that fit: `lowest`, `highest`."""

    residue: Residue
    lowest: float
    highest: float


class _Trial(NamedTuple):
    residue: Residue
    score: float
    flow: float


def estimate_shape(
    blocks: Curves, share: Array, artery: FloatArray, params: TransitParams, device: Device
) -> Shape | None:
    """Return the shape that describes the mean curves of `blocks` best, with their `share` (block,) in use.

    None if fewer than 20 blocks lie in the brain.
    """
    full = np.flatnonzero(to_numpy(share) >= _FULL)
    if full.size < _FEWEST:
        return None
    chosen = device.xp.asarray(full[:: max(1, full.size // _BLOCKS)])
    picked = Planes(
        device.xp.ascontiguousarray(blocks.planes.array[:, chosen]), (0, 1, 2), (int(chosen.size), 1, 1)
    )
    few = Curves(picked, device.asarray(np.ones(chosen.size), np.uint8), blocks.step)

    usual = params.model_copy(update=_USUAL)

    def fit(residue: Residue | Mixture) -> Fitted:
        return fit_transit(few, artery, usual, residue, "trapezoid", no_prior(few.voxels, device), device)

    plainest = fit(EXPONENTIAL)
    misfit, power = (to_numpy(image).astype(np.float64) for image in (plainest.misfit, plainest.power))
    fitted = misfit > 0
    if int(fitted.sum()) < _FEWEST:
        return None
    tolerance = TOLERANCE * median(power[fitted] / misfit[fitted])

    def tried(residue: Residue | Mixture) -> tuple[float, float]:
        found = fit(residue)
        other, flow = (to_numpy(image).astype(np.float64)[fitted] for image in (found.misfit, found.flow))
        gain = np.log(np.where(other > 0, other, power[fitted]) / misfit[fitted])
        return _middle_mean(gain), _middle_mean(flow)

    plain = [_Trial(residue, *tried(residue)) for residue in (Residue(0.0, shape) for shape in SHAPES)]
    k = min(plain, key=_score).residue.shape
    near = {round(2.0 * k * (1.0 - p) ** power) or 1 for p in _PLATEAUS for power in _POWERS}
    after = [Residue(p, twice / 2.0) for p in _PLATEAUS for twice in sorted(near)]
    others = [_Trial(residue, *tried(residue)) for residue in after]
    mixed = [tried(Mixture(EXPONENTIAL, Residue(0.0, shape))) for shape in _MIXED]
    return _chosen(plain, others, mixed, tolerance)


def _middle_mean(values: FloatArray) -> float:
    """Return the mean without the smallest and largest twentieth."""
    cut = values.size // 20
    return float(np.sort(values)[cut : values.size - cut].mean())


def _score(trial: _Trial) -> float:
    return trial.score


def _chosen(
    plain: list[_Trial], others: list[_Trial], mixed: list[tuple[float, float]], tolerance: float
) -> Shape:
    """Return the simplest shape within the tolerance of the best: exponential, gamma, gamma after a plateau.

    `mixed` are scores and flows of shapes that count for the range of the flow only.
    """
    best, gamma = min([*plain, *others], key=_score), min(plain, key=_score)
    limit = best.score + tolerance
    simplest = [next(trial for trial in plain if trial.residue == EXPONENTIAL), gamma, best]
    chosen = next(trial for trial in simplest if trial.score <= limit)
    tried = [*((trial.score, trial.flow) for trial in (*plain, *others)), *mixed]
    flows = [flow for score, flow in tried if score <= limit]
    return Shape(chosen.residue, min(flows) / chosen.flow, max(flows) / chosen.flow)
