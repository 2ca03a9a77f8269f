"""Power and sample size of planned comparisons (Cohen 1988)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from qsmengine.errors import InputError


def solve_power(
    test: Literal["t", "anova", "f"],
    *,
    effect: float | None = None,
    n: float | None = None,
    power: float | None = None,
    alpha: float = 0.05,
    ratio: float = 1.0,
    groups: int = 2,
    predictors: int = 1,
    covariates: int = 0,
) -> float:
    """Return the one of `effect`, `n` and `power` that is None.

    Parameters
    ----------
    test
        "t": two groups, two-sided; "anova": one-way; "f": joint test of `predictors` in a regression with
        further `covariates`.
    effect
        Cohen's d for t, f for anova, f^2 = delta R2 / (1 - R2) for f.
    n
        Participants of the first group for t, in total for anova and f.
    alpha
        Significance level.
    ratio
        Size of the second group divided by that of the first (t).
    groups
        Number of groups (anova).

    Raises
    ------
    InputError
        When not exactly one is None, or there is no solution.
    """
    from statsmodels.stats.power import FTestAnovaPower, TTestIndPower

    if [effect, n, power].count(None) != 1:
        raise InputError("give exactly two of effect, n and power")
    if effect == 0 and n is None:
        return _finite(math.nan)
    if test == "f":
        return _regression(effect, n, power, alpha, predictors, covariates)
    given: dict[str, Any] = {"effect_size": effect, "power": power, "alpha": alpha}
    if test == "t":
        solved = TTestIndPower().solve_power(nobs1=n, ratio=ratio, **given)
    else:
        solved = FTestAnovaPower().solve_power(nobs=n, k_groups=groups, **given)
    return _finite(float(np.squeeze(solved)))


def _regression(
    effect: float | None, n: float | None, power: float | None, alpha: float, predictors: int, covariates: int
) -> float:
    """Noncentral F with noncentrality f^2 n, degrees of freedom u = predictors, v = n - u - covariates - 1."""
    from scipy import optimize, stats

    def reached(f2: float, size: float) -> float:
        v = size - predictors - covariates - 1
        if v <= 0:
            return 0.0
        critical = stats.f.isf(alpha, predictors, v)
        return float(stats.ncf.sf(critical, predictors, v, f2 * size))

    least = predictors + covariates + 1.01
    if effect is not None and n is not None:
        return reached(effect, n)
    try:
        if n is None and effect is not None:
            return float(optimize.brentq(lambda x: reached(effect, x) - (power or 0.0), least, 1e6))
        return float(optimize.brentq(lambda x: reached(x, n or 0.0) - (power or 0.0), 1e-9, 1e3))
    except ValueError:
        return _finite(math.nan)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InputError("no solution; is the effect 0, or the power below alpha?")
    return value
