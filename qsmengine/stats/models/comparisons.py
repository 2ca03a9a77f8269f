"""Comparisons of groups without covariates: Student and Welch t, Mann-Whitney, Pearson's chi-squared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import (
    CONFIDENCE,
    Floats,
    Interval,
    cramers_v,
    hedges_g,
    rank_biserial,
)


@dataclass(frozen=True)
class SampleSummary:
    """Summary statistics of a group: mean, standard deviation, number of participants."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class ComparisonTest:
    """Result of one test.

    Parameters
    ----------
    statistic_name, statistic, df
        "t", "U" or "chi2"; degrees of freedom are NaN for U.
    p
        Two-sided.
    n
        Participants of each group.
    difference
        First mean minus second in the unit of the outcome; NaN if the test does not compare means.
    effect_name, effect
        "hedges_g", "rank_biserial" or "cramers_v".
    """

    statistic_name: str
    statistic: float
    df: float
    p: float
    n: tuple[int, ...]
    difference: Interval
    effect_name: str
    effect: Interval


_NO_DIFFERENCE = Interval(math.nan, math.nan, math.nan)


def student_t(first: Floats, second: Floats) -> ComparisonTest:
    """Student's t test, equal variances: t = (m1 - m2) / (s sqrt(1/n1 + 1/n2)), s the pooled SD."""
    return t_from_summary(_summary(first), _summary(second), equal_variances=True)


def welch_t(first: Floats, second: Floats) -> ComparisonTest:
    """Welch's t test, unequal variances, degrees of freedom by Satterthwaite (doi:10.1093/biomet/34.1-2.28)."""
    return t_from_summary(_summary(first), _summary(second), equal_variances=False)


def t_from_summary(
    first: SampleSummary, second: SampleSummary, *, equal_variances: bool = False
) -> ComparisonTest:
    """Welch's (or Student's) t test from means, standard deviations and numbers of participants.

    The effect size is Hedges' g with the pooled standard deviation for both tests.

    Raises
    ------
    InputError
        For fewer than two participants in a group, or when both standard deviations are 0.
    """
    small = [str(s.n) for s in (first, second) if s.n < 2]
    if small:
        raise InputError(f"every group needs two participants, one has {small[0]}")
    if first.sd == 0 and second.sd == 0:
        raise InputError("the outcome is constant in both groups")
    parts = (first.mean, first.sd, first.n, second.mean, second.sd, second.n)
    test = stats.ttest_ind_from_stats(*parts, equal_var=equal_variances)
    t = float(test.statistic)
    variances = np.array([first.sd**2 / first.n, second.sd**2 / second.n])
    if equal_variances:
        df = float(first.n + second.n - 2)
    else:
        df = float(variances.sum() ** 2 / (variances**2 / [first.n - 1, second.n - 1]).sum())
    pooled = math.sqrt(((first.n - 1) * first.sd**2 + (second.n - 1) * second.sd**2) / (first.n + second.n - 2))
    error = math.sqrt(1 / first.n + 1 / second.n)
    delta = first.mean - second.mean
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * (
        pooled * error if equal_variances else math.sqrt(variances.sum())
    )
    effect = hedges_g(delta / (pooled * error), first.n, second.n)
    n = (first.n, second.n)
    difference = Interval(delta, delta - half, delta + half)
    return ComparisonTest("t", t, df, float(test.pvalue), n, difference, "hedges_g", effect)


def mann_whitney(first: Floats, second: Floats) -> ComparisonTest:
    """Mann-Whitney U of the first group; p by normal approximation, corrected for ties and continuity."""
    if first.size < 2 or second.size < 2:
        raise InputError(f"every group needs two participants, one has {min(first.size, second.size)}")
    if np.ptp(np.concatenate([first, second])) == 0:
        raise InputError("the outcome is constant")
    test = stats.mannwhitneyu(first, second, method="asymptotic")
    n = (first.size, second.size)
    effect = rank_biserial(first, second)
    return ComparisonTest(
        "U", float(test.statistic), math.nan, float(test.pvalue), n, _NO_DIFFERENCE, "rank_biserial", effect
    )


def chi_squared(rows: pd.Series, columns: pd.Series) -> ComparisonTest:
    """Pearson's chi-squared test of two categorical columns, without Yates' correction.

    Raises
    ------
    InputError
        For a column with more categories than half the rows, which is not one of categories.
    """
    levels = max(rows.nunique(), columns.nunique())
    if levels > max(2, len(rows) / 2):
        raise InputError(f"{levels} different values in {len(rows)} rows: the test needs categories")
    return chi_squared_of_counts(pd.crosstab(rows, columns).to_numpy(dtype=np.float64))


def chi_squared_of_counts(counts: Floats) -> ComparisonTest:
    """Pearson's chi-squared test of a table of counts (rows, columns), without Yates' correction.

    Raises
    ------
    InputError
        For fewer than two rows or columns with a count.
    """
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(table.shape) < 2:
        raise InputError("there is only one category")
    test = stats.chi2_contingency(table, correction=False)
    chi2, n = float(test.statistic), round(table.sum())
    effect = cramers_v(chi2, n, (table.shape[0], table.shape[1]))
    sizes = tuple(round(x) for x in table.sum(axis=1))
    return ComparisonTest(
        "chi2", chi2, float(test.dof), float(test.pvalue), sizes, _NO_DIFFERENCE, "cramers_v", effect
    )


def _summary(values: Floats) -> SampleSummary:
    if values.size < 2:
        raise InputError(f"every group needs two participants, one has {values.size}")
    return SampleSummary(float(values.mean()), float(values.std(ddof=1)), values.size)
