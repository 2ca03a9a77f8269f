"""Independent fits in float64: dtifit's rule, and nonlinear least squares by scipy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from tests.stages.diffusion.tensors import PLACES, full, six


def matrix(b, g):
    """Design matrix with D in units of 1e-3 mm^2/s."""
    return (
        np.column_stack([np.ones_like(b), *(-b * (1 + (i != j)) * g[:, i] * g[:, j] for i, j in PLACES)])
        * (np.r_[1.0, np.full(6, 1e-3)])
    )


def dtifit(signal, b, g, *, weighted):
    """Tensors, S0 and sse of (count, volume) signals as dtifit makes them, from its description.

    Pass 1: log S = 0 where S <= 0. Signals below 1 % of the S0 found are raised to that (the largest |S| where
    that S0 is below the mean or beyond e^23), pass 2. Weights: S^2, 1 where S <= 0. S0 is not below the mean.
    """
    a = matrix(b, g)
    found = []
    for s in signal.astype(np.float64):
        w = np.where(s > 0, s, 1.0) if weighted else np.ones_like(s)
        pseudo = np.linalg.pinv(w[:, None] * a) * w
        log_s0 = (pseudo @ np.log(np.where(s > 0, s, 1.0)))[0]
        s0 = np.exp(log_s0) if log_s0 < 23 else np.abs(s).max()
        s0 = np.abs(s).max() if s0 < s.mean() else s0
        y = np.log(np.maximum(s, 0.01 * s0))
        beta = pseudo @ y
        found.append((*beta[1:], max(np.exp(beta[0]), s.mean()), ((y - a @ beta) ** 2).sum()))
    maps = np.array(found)
    return full(maps[:, :6] * 1e-3), maps[:, 6], maps[:, 7]


def nonlinear(signal, b, g, start, s0, *, positive=False):
    """Tensors (count, 3, 3) and sums of squares by scipy; `positive`: D = L L'."""
    a = matrix(b, g)
    rows, columns = np.tril_indices(3)

    def unpack(theta):
        if not positive:
            return theta
        lower = np.zeros((3, 3))
        lower[rows, columns] = theta[1:]
        return np.concatenate([theta[:1], six(lower @ lower.T)])

    def residuals(theta, relative):
        return relative - np.exp(a @ unpack(theta))

    tensors, costs = [], []
    for s, d, s_0 in zip(signal.astype(np.float64), start * 1e3, s0, strict=True):
        first = np.concatenate([[0.0], np.linalg.cholesky(d)[rows, columns] if positive else six(d)])
        fit = least_squares(residuals, first, args=(s / s_0,), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        tensors.append(full(unpack(fit.x)[1:] * 1e-3))
        costs.append(2 * fit.cost * s_0**2)
    return np.array(tensors), np.array(costs)
