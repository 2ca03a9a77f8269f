"""Scores of one reconstructed map."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.accuracy.heads import Case
from qsmengine.data import Array
from qsmengine.stages.metrics import evaluate, nrmse

VERSION = 4
"""Raised when a score changes its meaning: kept records are then made anew."""
LAYERS = {
    "layer_1": (1, 1),
    "layer_2": (2, 2),
    "layer_3": (3, 3),
    "layer_4": (4, 4),
    "layers_5_8": (5, 8),
    "deeper": (9, None),
}
"""Score -> first and last layer of voxels, counted from the rim of the given mask."""
REGIONS = {"thalamus": (10, 49), "caudate": (11, 50), "putamen": (12, 51), "pallidum": (13, 52)}
"""Deep grey matter whose means are judged, both sides together."""


def score(estimate: Array, case: Case, target: str) -> dict[str, float | None]:
    """Scores of `estimate` [ppm] against the truth's map `target`.

    `whole` is nrmse [%] in the whole mask that was given, as far as it is brain, where voxels a method left
    out count as 0; `scored`, `xsim` and `hfen` are QSM-CI's, where the estimate is not 0; `volume` [%] is the
    share of the mask that they see; LAYERS have the nrmse of layers, `median_error` [ppb] is the median of the
    error size. For chi also the slope of the regions' means and the largest error of one [ppb].

    All maps are demeaned where they are scored, since chi is known up to a constant, and 0 outside the mask.
    Bone and air are not part of the result; in the truth they would fill the windows of xsim along the surface,
    so that even a perfect map scores about 0.8.
    """
    truth, mask = case.truth[target], case.scored
    volume = float(np.prod(case.grid.voxel_size))
    error = 1e3 * (np.asarray(estimate, dtype=np.float64) - truth)[mask]
    found = mask & (np.asarray(estimate) != 0)
    result = evaluate(_demeaned(estimate, found, found), _demeaned(truth, found, mask), mask, volume)
    scores: dict[str, float | None] = {
        "whole": nrmse(np.where(mask, estimate, 0), truth, mask),
        "scored": result.scored.nrmse,
        "scored_detrend": result.scored.nrmse_detrend,
        "xsim": result.scored.xsim,
        "hfen": result.scored.hfen,
        **layer_scores(estimate, truth, case),
        "median_error": float(np.median(np.abs(error - np.median(error)))),
        "volume": 100.0 * result.scored.volume / result.whole.volume,
    }
    return scores | (region_scores(estimate, case) if target == "chi" else {})


def layer_scores(estimate: Array, truth: Array, case: Case) -> dict[str, float | None]:
    """Error over truth in each of LAYERS (root mean squares) [%], both maps demeaned in the mask."""
    values = [np.asarray(image, dtype=np.float64) for image in (estimate, truth)]
    found, true = (image - image[case.scored].mean() for image in values)
    scores: dict[str, float | None] = {}
    for name, (first, last) in LAYERS.items():
        here = case.scored & (case.layer >= first)
        if last is not None:
            here &= case.layer <= last
        size = float(np.linalg.norm(true[here]))
        scores[name] = 100.0 * float(np.linalg.norm((found - true)[here])) / size if size else None
    return scores


def region_scores(chi: Array, case: Case) -> dict[str, Any]:
    """Slope of the means of REGIONS, and their largest error [ppb]."""
    means = []
    for image in (chi, case.truth["chi"]):
        values = np.asarray(image, dtype=np.float64)
        values = values - values[case.scored].mean()
        regions = [np.isin(case.labels, numbers) & case.scored for numbers in REGIONS.values()]
        means.append([values[region].mean() for region in regions])
    found, true = np.array(means)
    centred = true - true.mean()
    return {
        "dgm_slope": float((found - found.mean()) @ centred / (centred @ centred)),
        "dgm_error": float(1e3 * np.abs(found - true).max()),
    }


def _demeaned(image: Array, middle: Array, mask: Array) -> Array:
    """Return `image` (x, y, z) minus its mean over the voxels `middle`, float64; 0 outside `mask`."""
    values = np.asarray(image, dtype=np.float64)
    return np.where(mask, values - (values[middle].mean() if middle.any() else 0.0), 0.0)
