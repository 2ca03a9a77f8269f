r"""Analysis of covariance by ordinary least squares: F tests of the terms, adjusted means, contrasts.

A term of k columns is tested against the residual variance of the full model, n participants and p columns::

    F = (SS_term / k) / (SSR / (n - p))        partial eta^2 = SS_term / (SS_term + SSR)

Type II: SS_term is the increase in residual sum of squares when the term is removed from the model without
the interactions that contain it. Type III: when it is removed from the full model, with contrasts that sum to
zero and centred covariates. Without interactions both are equal. Adjusted (least-squares) means are
predictions per group at the mean of every continuous covariate, averaged with equal weights over the levels
of factors (Searle, Speed, Milliken 1980, doi:10.1080/00031305.1980.10483031).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import CONFIDENCE, Floats, Interval, partial_eta_squared
from qsmengine.stats.models.terms import TermMatrix, code_terms


@dataclass(frozen=True)
class TermTest:
    """F test of one term; `effect` is partial eta squared."""

    term: str
    sum_of_squares: float
    df: int
    df_residual: int
    f: float
    p: float
    effect: Interval


@dataclass(frozen=True)
class Estimate:
    """A linear combination of coefficients: value with 95 % interval, standard error, t, two-sided p."""

    value: Interval
    se: float
    t: float
    p: float


@dataclass(frozen=True)
class AncovaFit:
    """Result for one outcome.

    Parameters
    ----------
    terms
        Test of every term, by name.
    n
        Participants per group; groups in the order of the categories, the reference first.
    adjusted_means
        Adjusted mean of every group.
    contrasts
        Adjusted mean minus that of the reference, for every other group.
    """

    terms: Mapping[str, TermTest]
    n: Mapping[str, int]
    adjusted_means: Mapping[str, Estimate]
    contrasts: Mapping[str, Estimate]


def fit_ancova(
    outcome: Floats,
    columns: pd.DataFrame,
    group: str,
    interactions: Sequence[tuple[str, str]] = (),
    *,
    sum_of_squares: Literal["II", "III"] = "II",
) -> AncovaFit:
    """Fit one outcome.

    Parameters
    ----------
    outcome
        (n,) finite values.
    columns
        (n, c), complete: numbers are covariates, categories are factors.
    group
        Factor whose levels are compared, the reference first; all occur.
    interactions
        Pairs of columns.
    sum_of_squares
        Type of the tests.

    Raises
    ------
    InputError
        For fewer than two groups, a constant outcome or column, linearly dependent terms (a
        group that is one site), fewer than p + 2 participants, an outcome that the model fits exactly.
    """
    if columns[group].nunique() < 2:
        raise InputError("only one group")
    y = np.asarray(outcome, dtype=np.float64)
    spread = float(np.ptp(y)) if y.size else 0.0
    if spread <= 1e-12 * float(np.abs(y).max(initial=0.0)):
        raise InputError("the outcome is constant")
    design = code_terms(columns, interactions, centred=True)
    n, p = design.matrix.shape
    if n < p + 2:
        raise InputError(f"{n} participants are too few for {p} terms: need at least {p + 2}")
    if not design.full_rank:
        named = ", ".join(design.dependent)
        raise InputError(f"terms are linearly dependent (an empty cell, or a group that is one site): {named}")
    # Fitted in units of the outcome's spread: small units (mm^2/s) must not meet absolute tolerances.
    centre = float(y.mean())
    scaled = (y - centre) / spread
    full = _least_squares(scaled, design.matrix)
    if full.ssr <= 1e-20 * n:
        raise InputError("the model fits the outcome exactly: no residual to test against")
    terms = {
        name: _test(name, scaled, design, full, spread, without=_containing(name, interactions, sum_of_squares))
        for name in design.slices
    }
    names, means = _group_rows(columns[group], design, group)
    contrasts = means[1:] - means[0]
    return AncovaFit(
        terms,
        {name: int((columns[group].astype(str) == name).sum()) for name in names},
        dict(zip(names, _estimates(full, means, spread, centre), strict=True)),
        dict(zip(names[1:], _estimates(full, contrasts, spread, 0.0), strict=True)),
    )


def _least_squares(y: Floats, x: Floats) -> Any:
    # statsmodels takes seconds to import.
    from statsmodels.regression.linear_model import OLS

    return OLS(y, x).fit()


def _containing(name: str, interactions: Sequence[tuple[str, str]], kind: str) -> list[str]:
    """Interactions that a type II test of a term leaves out."""
    return [":".join(pair) for pair in interactions if kind == "II" and name in pair]


def _test(
    name: str, y: Floats, design: TermMatrix, full: Any, spread: float, *, without: Sequence[str]
) -> TermTest:
    """Test one term in the model without some others, against the residual variance of the full model."""
    from scipy import special

    columns = np.arange(design.matrix.shape[1])
    own = columns[design.slices[name]]
    keep = np.setdiff1d(columns, [i for other in without for i in columns[design.slices[other]]])
    fit = _least_squares(y, design.matrix[:, keep]) if without else full
    restriction = (keep == own[:, None]).astype(np.float64)
    df, df_residual = len(own), int(full.df_resid)
    squares = float(np.squeeze(fit.f_test(restriction).fvalue)) * df * float(fit.scale)
    f = squares / df / float(full.scale)
    p = float(special.fdtrc(df, df_residual, f))
    return TermTest(name, squares * spread**2, df, df_residual, f, p, partial_eta_squared(f, df, df_residual))


def _group_rows(groups: pd.Series, design: TermMatrix, group: str) -> tuple[list[str], Floats]:
    """Groups, and the rows that give their predictions with every other term at zero."""
    levels = groups.cat.remove_unused_categories().cat.categories
    rows = np.zeros((len(levels), design.matrix.shape[1]))
    rows[:, 0] = 1.0
    for row, level in zip(rows, levels, strict=True):
        first = int(np.argmax((groups == level).to_numpy()))
        row[design.slices[group]] = design.matrix[first, design.slices[group]]
    return [str(level) for level in levels], rows


def _estimates(fit: Any, rows: Floats, scale: float, offset: float) -> list[Estimate]:
    test = fit.t_test(rows)
    interval = np.atleast_2d(test.conf_int(alpha=1.0 - CONFIDENCE)) * scale + offset
    value, se = np.ravel(test.effect) * scale + offset, np.ravel(test.sd) * scale
    t, p = np.ravel(test.tvalue), np.ravel(test.pvalue)
    return [
        Estimate(Interval(float(v), float(low), float(high)), float(s), float(a), float(b))
        for v, (low, high), s, a, b in zip(value, interval, se, t, p, strict=True)
    ]
