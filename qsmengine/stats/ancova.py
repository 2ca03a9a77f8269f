r"""Analysis of covariance: y = mu + group + covariates + error, by ordinary least squares.

The group effect is tested with the F statistic of the model with against the model without the group
term, other terms kept (type II sum of squares)::

    F = ((SSR_without - SSR) / (k - 1)) / (SSR / (n - p))       partial eta^2 = SS_group / (SS_group + SSR)

with k groups, n participants and p columns of the design. Adjusted (least-squares) means are predictions
per group at the mean of every continuous covariate, averaged with equal weights over the levels of
categorical ones (Searle, Speed, Milliken 1980, doi:10.1080/00031305.1980.10483031).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.anova import coded
from qsmengine.stats.models.effects import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A linear combination of coefficients: value, standard error, 95 % interval, t, two-sided p."""

    value: float
    se: float
    ci_low: float
    ci_high: float
    t: float
    p: float


@dataclass(frozen=True)
class Ancova:
    """Result for one outcome; groups in the order of the categories, the reference first."""

    n: Mapping[str, int]
    f: float
    df_group: int
    df_residual: int
    p: float
    partial_eta_squared: float
    adjusted_means: Mapping[str, Estimate]
    contrasts: Mapping[str, Estimate]
    """Group minus reference, for every group but the reference."""


def fit_ancova(outcome: Floats, group: pd.Categorical, covariates: pd.DataFrame) -> Ancova:
    """Fit one outcome.

    Parameters
    ----------
    outcome
        (n,) finite values.
    group
        (n,) categories, the reference first; all occur.
    covariates
        (n, c) complete columns: numeric ones are continuous, categorical ones are factors.

    Raises
    ------
    InputError
        For fewer than two groups, a constant outcome or covariate, linearly dependent terms (a group that
        is one site), fewer than p + 2 participants, an outcome that the model fits exactly.
    """
    # Import time of statsmodels is seconds.
    import statsmodels.api as sm

    y = np.asarray(outcome, dtype=np.float64)
    spread = float(np.ptp(y)) if y.size else 0.0
    if spread <= 1e-12 * float(np.abs(y).max(initial=0.0)):
        raise InputError("the outcome is constant")
    design, rows = _design_matrix(group, covariates)
    n, p = design.shape
    if n < p + 2:
        raise InputError(f"{n} participants are too few for {p} terms: need at least {p + 2}")
    if int(np.linalg.matrix_rank(design)) < p:
        raise InputError("groups and covariates depend on each other linearly (a group that is one site, say)")
    # Fitted in units of the outcome's spread: small units (mm^2/s) must not meet absolute tolerances.
    centre = float(y.mean())
    fit = sm.OLS((y - centre) / spread, design).fit()
    if fit.ssr <= 1e-20 * n:
        raise InputError("the model fits the outcome exactly: no residual to test against")
    restriction = np.eye(p)[rows]
    test = fit.f_test(restriction)
    f, df_group = float(np.squeeze(test.fvalue)), len(rows)
    means, contrasts = _group_rows(p, rows), restriction
    names = [str(c) for c in group.categories]
    return Ancova(
        n={str(k): int((group == k).sum()) for k in group.categories},
        f=f,
        df_group=df_group,
        df_residual=int(fit.df_resid),
        p=float(np.squeeze(test.pvalue)),
        partial_eta_squared=f * df_group / (f * df_group + float(fit.df_resid)),
        adjusted_means=dict(zip(names, _estimates(fit, means, spread, centre), strict=True)),
        contrasts=dict(zip(names[1:], _estimates(fit, contrasts, spread, 0.0), strict=True)),
    )


def _design_matrix(group: pd.Categorical, covariates: pd.DataFrame) -> tuple[Floats, list[int]]:
    """Design (n, p) and the columns of the group.

    Intercept, an indicator of each group but the reference, and covariates coded so that their zero is the
    point of the adjusted means.
    """
    if len(group.categories) < 2:
        raise InputError("only one group")
    indicators = [(group == level).astype(np.float64)[:, None] for level in group.categories[1:]]
    others = [coded(str(name), values) for name, values in covariates.items()]
    design = np.hstack([np.ones((len(group), 1)), *indicators, *others])
    return design, list(range(1, len(group.categories)))


def _group_rows(p: int, group_columns: list[int]) -> Floats:
    """Rows that give each group's prediction with every covariate at zero."""
    rows = np.zeros((len(group_columns) + 1, p))
    rows[:, 0] = 1.0
    for row, column in enumerate(group_columns, start=1):
        rows[row, column] = 1.0
    return rows


def _estimates(fit: Any, rows: Floats, scale: float, offset: float) -> list[Estimate]:
    test = fit.t_test(rows)
    interval = np.atleast_2d(test.conf_int(alpha=1.0 - CONFIDENCE)) * scale + offset
    value, se = np.ravel(test.effect) * scale + offset, np.ravel(test.sd) * scale
    t, p = np.ravel(test.tvalue), np.ravel(test.pvalue)
    columns = (value, se, interval[:, 0], interval[:, 1], t, p)
    return [Estimate(*(float(v) for v in row)) for row in zip(*columns, strict=True)]
