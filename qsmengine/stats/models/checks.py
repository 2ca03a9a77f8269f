"""Checks of model assumptions: equal variances and normality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import Floats

ESTIMATED = "p is too large because mean and SD are estimated from the same values; see lilliefors"


@dataclass(frozen=True)
class Check:
    """One check: name, statistic, p value, and a note on its interpretation."""

    name: str
    statistic: float
    p: float
    note: str = ""


def levene(groups: Sequence[Floats], centre: Literal["mean", "median"] = "median") -> Check:
    """Levene's test of equal variances around the mean, or the median (Brown and Forsythe 1974).

    Raises
    ------
    InputError
        For fewer than two groups, a group of fewer than two values, or constant groups.
    """
    if len(groups) < 2 or min(g.size for g in groups) < 2:
        raise InputError("need two groups of two participants")
    if all(np.ptp(g) == 0 for g in groups):
        raise InputError("the outcome is constant in every group")
    test = stats.levene(*groups, center=centre)
    return Check("levene", float(test.statistic), float(test.pvalue), f"around the {centre}")


def normality(values: Floats) -> tuple[Check, ...]:
    """Kolmogorov-Smirnov against the normal with the sample's mean and SD, Lilliefors, Shapiro-Wilk, skewness.

    The Kolmogorov-Smirnov p value is the one that statistics packages print. It is far too large because the
    parameters are estimated; Lilliefors' distribution of the same statistic is correct (Lilliefors 1967,
    doi:10.1080/01621459.1967.10482916; its p is limited to the range 0.001 to 0.99).

    Raises
    ------
    InputError
        For fewer than four values, or constant values.
    """
    from statsmodels.stats.diagnostic import lilliefors

    if values.size < 4:
        raise InputError(f"{values.size} values are too few for a check of normality: need 4")
    if np.ptp(values) == 0:
        raise InputError("the values are constant")
    z = (values - values.mean()) / values.std(ddof=1)
    ks = stats.kstest(z, "norm")
    statistic, p = lilliefors(values, dist="norm", pvalmethod="table")
    shapiro = stats.shapiro(z)
    return (
        Check("kolmogorov_smirnov", float(ks.statistic), float(ks.pvalue), ESTIMATED),
        Check("lilliefors", float(statistic), float(p)),
        Check("shapiro_wilk", float(shapiro.statistic), float(shapiro.pvalue)),
        Check("skewness", float(stats.skew(values, bias=False)), math.nan, "adjusted Fisher-Pearson"),
    )
