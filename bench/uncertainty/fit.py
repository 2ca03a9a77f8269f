"""Coefficients of intervals, fitted to the errors of development heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize

from bench.uncertainty.report import region_ratios, widths_of
from bench.uncertainty.samples import Floats, Sample
from qsmengine.stages.uncertainty.calibration import LEVELS, Coefficients
from qsmengine.stages.uncertainty.causes import NAMES

VOXELS = 4000
"""Drawn from each head."""
SMOOTH = 0.05
"""Width over which the kink of the quantile loss is rounded."""
NEGLIGIBLE = 3e-4
"""Weights below count as 0: the search approaches its lower bound."""
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


def region_factors(samples: Sequence[Sample], weights: Mapping[int, Coefficients]) -> dict[str, float]:
    """Level [%] -> quantile of the error of regions' means, over the mean 68 % half-width in the region."""
    ratios = np.concatenate([region_ratios(sample, widths_of(sample, weights)) for sample in samples])
    return {str(level): round(float(np.quantile(ratios, level / 100)), 2) for level in LEVELS}


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
        value = share * r + SMOOTH * np.logaddexp(0.0, -r / SMOOTH)
        slope = share - 1 / (1 + np.exp(np.clip(r / SMOOTH, -500, 500)))
        return float(value.mean()), -(slope[:, None] * parts / variance[:, None]).mean(axis=0)

    usual = causes.mean(axis=0)
    start = np.log(np.median(error) / np.where(usual > 0, usual, 1.0))  # every cause contributes alike
    bounds = [(-9.0, max(5.0, float(first))) for first in start]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    weights = np.exp(found.x)
    weights[weights < NEGLIGIBLE] = 0.0
    return np.array([float(f"{weight:.3g}") for weight in weights])
