r"""Effect sizes with 95 % confidence intervals.

Intervals of Hedges' g, partial eta squared and Cramer's V come from the noncentral distribution of their
test statistic (Steiger 2004, doi:10.1037/1082-989X.9.2.164), that of a correlation from Fisher's z, that of
the rank-biserial correlation from bootstrap percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

Floats: TypeAlias = npt.NDArray[np.float64]
CONFIDENCE = 0.95
_TAILS = ((1.0 + CONFIDENCE) / 2.0, (1.0 - CONFIDENCE) / 2.0)
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def hedges_g(t: float, n1: int, n2: int) -> Interval:
    r"""Hedges' g of two groups from Student's t: g = J t sqrt(1/n1 + 1/n2).

    J = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)) removes the small-sample bias of the difference over the
    pooled standard deviation (Hedges 1981, doi:10.3102/10769986006002107).
    """
    df = n1 + n2 - 2
    j = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    scale = j * math.sqrt(1 / n1 + 1 / n2)
    reach = 4.0 * math.sqrt(1.0 + t * t / (2.0 * df))
    low, high = (
        optimize.brentq(lambda c, q=q: special.nctdtr(df, c, t) - q, t - reach, t + reach) for q in _TAILS
    )
    return Interval(t * scale, low * scale, high * scale)


def partial_eta_squared(f: float, df1: int, df2: int) -> Interval:
    """Partial eta squared, SS_effect / (SS_effect + SS_residual), from F; interval from the noncentral F."""
    n = df1 + df2 + 1
    low, high = _noncentrality(lambda c: float(special.ncfdtr(df1, df2, c, f)), f * df1)
    return Interval(f * df1 / (f * df1 + df2), low / (low + n), high / (high + n))


def cramers_v(chi2: float, n: int, shape: tuple[int, int]) -> Interval:
    """Cramer's V, sqrt(chi2 / (n (min(rows, columns) - 1))); interval from the noncentral chi-squared."""
    df = (shape[0] - 1) * (shape[1] - 1)
    whole = n * (min(shape) - 1)
    ends = _noncentrality(lambda c: float(special.chndtr(chi2, df, c)), chi2)
    values = [min(1.0, math.sqrt(x / whole)) for x in (chi2, *ends)]
    return Interval(values[0], values[1], max(values[0], values[2]))


def correlation(r: float, n: int, n_covariates: int = 0) -> Interval:
    """A (partial) correlation with the interval from Fisher's z, standard error 1 / sqrt(n - k - 3)."""
    if n - n_covariates <= 3 or abs(r) >= 1.0:
        return Interval(r, math.nan, math.nan)
    half = float(stats.norm.ppf(_TAILS[0])) / math.sqrt(n - n_covariates - 3)
    z = math.atanh(r)
    return Interval(r, math.tanh(z - half), math.tanh(z + half))


def rank_biserial(first: Floats, second: Floats, *, seed: int = 0) -> Interval:
    """P(first > second) - P(first < second); percentile interval of 2000 bootstrap samples within groups."""
    signs = np.sign(first[:, None] - second[None, :])
    rng = np.random.default_rng(seed)
    weights = [rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in signs.shape]
    drawn = np.einsum("bi,ij,bj->b", weights[0], signs, weights[1], optimize=True)
    low, high = np.quantile(drawn, _TAILS[::-1])
    return Interval(float(signs.mean()), float(low), float(high))


def _noncentrality(cdf: Callable[[float], float], start: float) -> tuple[float, float]:
    """Return noncentralities for which the observed statistic is the 97.5 % and 2.5 % quantile; 0 if none."""
    ends = []
    for q in _TAILS:
        if cdf(0.0) <= q:
            ends.append(0.0)
            continue
        upper = max(1.0, start)
        while cdf(upper) > q:
            upper *= 2.0
        ends.append(float(optimize.brentq(lambda c, q=q: cdf(c) - q, 0.0, upper)))
    return ends[0], ends[1]
