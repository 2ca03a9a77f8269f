r"""Partial correlations and hierarchical linear regression in blocks.

The increase of R2 by a block of k predictors is tested with::

    delta F = ((R2_full - R2_before) / k) / ((1 - R2_full) / (n - p - 1))

with p predictors in the full model (Cohen, Cohen, West and Aiken 2003, section 5.3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models.checks import Check
from qsmengine.stats.models.effects import Floats, Interval, correlation
from qsmengine.stats.models.terms import code_terms


@dataclass(frozen=True)
class PartialCorrelation:
    """Correlation r of two variables given the covariates, t, degrees of freedom, two-sided p."""

    r: Interval
    t: float
    df: int
    p: float
    n: int


@dataclass(frozen=True)
class Coefficient:
    """One predictor: b in its unit, standardised beta, t, p, variance inflation factor."""

    name: str
    b: Interval
    se: float
    beta: Interval
    t: float
    p: float
    vif: float


@dataclass(frozen=True)
class Block:
    """Model with the predictors of this block and all before."""

    number: int
    n: int
    r2: float
    r2_adjusted: float
    f: float
    df1: int
    df2: int
    p: float
    delta_r2: float
    delta_f: float
    delta_df: int
    p_delta: float
    coefficients: tuple[Coefficient, ...]
    residuals: tuple[Check, ...]


def partial_correlation(x: Floats, y: Floats, covariates: pd.DataFrame) -> PartialCorrelation:
    """Correlate the residuals of x and y on the covariates; t has n - 2 - k degrees of freedom.

    Raises
    ------
    InputError
        When x or y is constant or determined by the covariates, or there are too few participants.
    """
    z = code_terms(covariates).matrix
    n, k = len(x), z.shape[1] - 1
    if n - k < 4:
        raise InputError(f"{n} participants are too few for {k} covariates: need at least {k + 4}")
    residuals = []
    for name, values in (("first", x), ("second", y)):
        rest = values - z @ np.linalg.lstsq(z, values, rcond=None)[0]
        if np.ptp(values) == 0 or np.linalg.norm(rest) <= 1e-10 * np.linalg.norm(values - values.mean()):
            raise InputError(f"the {name} variable is constant or determined by the covariates")
        residuals.append(rest / np.linalg.norm(rest))
    r = float(np.clip(residuals[0] @ residuals[1], -1.0, 1.0))
    df = n - 2 - k
    t = math.copysign(math.inf, r) if abs(r) == 1.0 else r * math.sqrt(df / (1.0 - r * r))
    return PartialCorrelation(correlation(r, n, k), t, df, float(2 * stats.t.sf(abs(t), df)), n)


def fit_hierarchical(outcome: Floats, blocks: Sequence[pd.DataFrame]) -> tuple[Block, ...]:
    """Fit ordinary least squares with blocks of predictors entered one after another.

    Parameters
    ----------
    outcome
        (n,) finite values.
    blocks
        Each (n, c), complete: numbers, and categories coded as indicators of all levels but the first.

    Raises
    ------
    InputError
        For a constant outcome or predictor, a block without predictors, linearly dependent predictors,
        too few participants.
    """
    if np.ptp(outcome) <= 1e-12 * np.abs(outcome).max():
        raise InputError("the outcome is constant")
    if any(frame.shape[1] == 0 for frame in blocks):
        raise InputError("every block needs a predictor")
    coded = code_terms(pd.concat(list(blocks), axis=1))
    ends = [coded.slices[str(frame.columns[-1])].stop for frame in blocks]
    fitted: list[Block] = []
    for number, (start, end) in enumerate(itertools.pairwise([1, *ends]), start=1):
        before = fitted[-1].r2 if fitted else 0.0
        names, predictors = list(coded.names[: end - 1]), coded.matrix[:, 1:end]
        fitted.append(_fit_block(number, outcome, names, predictors, end - start, before))
    return tuple(fitted)


def _fit_block(number: int, y: Floats, names: list[str], x: Floats, added: int, before: float) -> Block:
    from statsmodels.regression.linear_model import OLS

    n, p = x.shape
    constant = [name for name, column in zip(names, x.T, strict=True) if np.ptp(column) == 0]
    if constant:
        raise InputError(f"predictor {constant[0]!r} is constant")
    if n < p + 3:
        raise InputError(f"{n} participants are too few for {p} predictors: need at least {p + 3}")
    standard = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    design = np.column_stack([np.ones(n), standard])
    if int(np.linalg.matrix_rank(design)) < p + 1:
        raise InputError(f"predictors are linearly dependent: {', '.join(names)}")
    scale = float(y.std(ddof=1))
    fit = OLS((y - y.mean()) / scale, design).fit()
    r2, df2 = float(fit.rsquared), int(fit.df_resid)
    if fit.ssr <= 1e-20 * n:
        raise InputError("the model fits the outcome exactly: no residual to test against")
    delta_f = (r2 - before) / added / ((1.0 - r2) / df2)
    return Block(
        number=number,
        n=n,
        r2=r2,
        r2_adjusted=float(fit.rsquared_adj),
        f=float(fit.fvalue),
        df1=p,
        df2=df2,
        p=float(fit.f_pvalue),
        delta_r2=r2 - before,
        delta_f=delta_f,
        delta_df=added,
        p_delta=float(stats.f.sf(delta_f, added, df2)),
        coefficients=_coefficients(fit, names, standard, scale / x.std(axis=0, ddof=1)),
        residuals=_residual_checks(fit, design),
    )


def _coefficients(fit: Any, names: list[str], standard: Floats, units: Floats) -> tuple[Coefficient, ...]:
    """Return coefficients of the standardised fit; `units` converts beta to outcome per unit of predictor."""
    inflation = np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(standard, rowvar=False))))
    bounds = fit.conf_int()
    found = []
    for i, name in enumerate(names, start=1):
        beta = Interval(float(fit.params[i]), float(bounds[i, 0]), float(bounds[i, 1]))
        unit = float(units[i - 1])
        b = Interval(beta.value * unit, beta.low * unit, beta.high * unit)
        t, p, se = float(fit.tvalues[i]), float(fit.pvalues[i]), float(fit.bse[i]) * unit
        found.append(Coefficient(name, b, se, beta, t, p, float(inflation[i - 1])))
    return tuple(found)


def _residual_checks(fit: Any, design: Floats) -> tuple[Check, ...]:
    from statsmodels.stats.diagnostic import het_breuschpagan
    from statsmodels.stats.outliers_influence import OLSInfluence
    from statsmodels.stats.stattools import durbin_watson

    shapiro = stats.shapiro(fit.resid)
    pagan = het_breuschpagan(fit.resid, design)
    cooks = OLSInfluence(fit).cooks_distance[0]
    return (
        Check("shapiro_wilk", float(shapiro.statistic), float(shapiro.pvalue), "normality of residuals"),
        Check("breusch_pagan", float(pagan[0]), float(pagan[1]), "constant residual variance"),
        Check(
            "durbin_watson", float(durbin_watson(fit.resid)), math.nan, "2: successive residuals uncorrelated"
        ),
        Check("cooks_distance", float(np.max(cooks)), math.nan, "largest; above 1: influential participant"),
    )
