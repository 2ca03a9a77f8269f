"""Coefficients of intervals, fitted to the errors of development heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize

from bench.uncertainty.samples import Floats, Sample, regions_of
from qsmengine.stages.uncertainty.calibration import LEVELS, LOCAL, Coefficients
from qsmengine.stages.uncertainty.causes import NAMES

VOXELS = 4000
"""Drawn from each head."""
SMOOTH = 0.05
"""Width over which the kink of the quantile loss is rounded."""
NEGLIGIBLE = 3e-4
"""Weights below count as 0: the search approaches its lower bound."""
LEAST_SHARE = 1e-2
"""Smallest share of an error in the mean of a region that is not 0."""
LEAST = 1e-7
"""Added to errors before their logarithm is taken [ppm]."""


def coefficients(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Level [%] -> cause -> weight, from samples of one chain; every head counts alike."""
    drawn = [sample.drawn(VOXELS) for sample in samples]
    error = np.concatenate([np.abs(sample.error) for sample in drawn])
    causes = np.concatenate([sample.causes for sample in drawn])
    return {
        str(level): dict(zip(NAMES, quantile_weights(causes, error, level / 100).tolist(), strict=True))
        for level in LEVELS
    }


def region_shares(
    samples: Sequence[Sample], weights: Mapping[int, Coefficients]
) -> dict[str, dict[str, float]]:
    """Level [%] -> share of a voxel's error that is left in the mean of a region: "smooth" and "local".

    The half-width for a region is the mean over its voxels of u = sqrt(smooth^2 S + local^2 L), where L is the
    sum of (a_k c_k)^2 over the causes LOCAL, S that over the others. The loss is that of
    :func:`quantile_weights`, over all structures of all heads.
    """
    local = np.isin(NAMES, sorted(LOCAL))
    regions = [region for sample in samples for region in regions_of(sample)]
    error = np.abs([region.error.mean() for region in regions])
    found = {}
    for level in LEVELS:
        squares = np.array([weights[level][name] for name in NAMES]) ** 2
        parts = [(r.causes**2 @ (squares * ~local), r.causes**2 @ (squares * local)) for r in regions]
        found[str(level)] = _shares(parts, error, level / 100)
    return found


def _shares(parts: Sequence[tuple[Floats, Floats]], error: Floats, level: float) -> dict[str, float]:
    """Shares of the smooth and the local part for which the mean width exceeds `level` of the errors."""

    def loss(logarithms: Floats) -> float:
        a, b = np.exp(2 * logarithms)
        widths = np.array([np.sqrt(a * smooth + b * local).mean() for smooth, local in parts])
        return float(quantile_loss(np.log(error + LEAST) - np.log(widths + LEAST), level).mean())

    best = minimize(loss, np.log([0.7, 0.3]), method="Nelder-Mead", bounds=[(-7.0, 2.0)] * 2)
    shares = np.exp(best.x)
    shares[shares < LEAST_SHARE] = 0.0
    return {name: float(f"{share:.3g}") for name, share in zip(("smooth", "local"), shares, strict=True)}


def quantile_loss(r: Floats, share: float) -> Floats:
    """Return s r + w log(1 + exp(-r / w)): the loss whose minimum is the quantile s, rounded over w."""
    return np.asarray(share * r + SMOOTH * np.logaddexp(0.0, -r / SMOOTH))


def quantile_weights(causes: Floats, error: Floats, share: float) -> Floats:
    """Return a_k for which sqrt(sum_k (a_k c_k)^2) exceeds `share` of the errors, rounded to three digits.

    The mean over voxels of s r + w log(1 + exp(-r / w)) is minimised, r = log error - log u: the quantile
    loss of r with its kink rounded over w.

    Parameters
    ----------
    causes
        (voxels, causes) >= 0.
    error
        (voxels,) >= 0.
    share
        s, in (0, 1).
    """
    squares, target = causes**2, np.log(error + LEAST)

    def loss(b: Floats) -> tuple[float, Floats]:
        parts = squares * np.exp(2 * b)
        variance = parts.sum(axis=1) + LEAST**2
        r = target - 0.5 * np.log(variance)
        slope = share - 1 / (1 + np.exp(np.clip(r / SMOOTH, -500, 500)))
        return float(quantile_loss(r, share).mean()), -(slope[:, None] * parts / variance[:, None]).mean(axis=0)

    usual = causes.mean(axis=0)
    start = np.log(np.median(error) / np.where(usual > 0, usual, 1.0))  # every cause contributes alike
    bounds = [(-9.0, max(5.0, float(first))) for first in start]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    weights = np.exp(found.x)
    weights[weights < NEGLIGIBLE] = 0.0
    return np.array([float(f"{weight:.3g}") for weight in weights])
