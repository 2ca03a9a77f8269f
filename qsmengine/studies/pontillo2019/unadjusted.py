r"""Table 2 recomputed from its printed means, standard deviations and n: Welch's t test, without covariates.

The p values of the paper are from an ANCOVA adjusted for age and sex (and disease duration between subgroups);
this shows which of them follow from the printed values alone. Lesion load, which the paper transforms, is
assumed to be log-normal: mean m and SD s give log variance ln(1 + (s/m)^2) and log mean ln(m) - variance / 2.
The printed subgroups are also combined and compared with the printed MS group::

    m = sum n_g m_g / n        s^2 = (sum (n_g - 1) s_g^2 + sum n_g (m_g - m)^2) / (n - 1)
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from qsmengine.stats.models.comparisons import SampleSummary, t_from_summary
from qsmengine.stats.tables import Dictionary
from qsmengine.studies.pontillo2019.published import COMPARISONS, SIGNIFICANCE, p_of_metric, rows, summary

LOG_NORMAL = ("lesion_load",)
UNADJUSTED: Dictionary = {
    "metric": {"Description": "Row of Table 2"},
    "comparison": {"Description": "Groups compared, first minus second"},
    "scale": {"Description": "log: values of the logarithm, from the moments of a log-normal distribution"},
    "n1": {"Description": "Participants of the first group", "Units": "count"},
    "n2": {"Description": "Participants of the second group", "Units": "count"},
    "difference": {"Description": "Difference of the printed means (in the unit of the row) or logarithms"},
    "difference_low": {"Description": "Lower end of its 95 % confidence interval"},
    "difference_high": {"Description": "Upper end of its 95 % confidence interval"},
    "t": {"Description": "Welch's t", "Units": "1"},
    "df": {"Description": "Degrees of freedom (Satterthwaite)", "Units": "1"},
    "p": {"Description": "Two-sided p value, without covariates", "Units": "1"},
    "hedges_g": {"Description": "Effect size", "Units": "1"},
    "p_published": {"Description": "Printed p value, with covariates"},
    "agrees": {"Description": "Both p values lie on the same side of 0.05"},
}
COMBINED: Dictionary = {
    "metric": {"Description": "Row of Table 2"},
    "mean": {"Description": "Mean of the MS group from its printed subgroups, in the unit of the row"},
    "sd": {"Description": "Its standard deviation"},
    "mean_published": {"Description": "Printed mean of the MS group"},
    "sd_published": {"Description": "Printed standard deviation of the MS group"},
    "standard_errors": {
        "Description": "Difference of the means over the printed standard error, sd / sqrt(n)",
        "Units": "1",
    },
}


def unadjusted_differences() -> pd.DataFrame:
    """Return Welch's test for every row and comparison of Table 2, with the columns of `UNADJUSTED`."""
    found: list[dict[str, Any]] = []
    for row in rows("table2"):
        for first, second in COMPARISONS:
            groups = [summary(row, name) for name in (first, second)]
            if groups[0] is None or groups[1] is None:
                continue
            log = row["metric"] in LOG_NORMAL
            one, two = (_log(g) if log else g for g in groups if g is not None)
            test = t_from_summary(one, two)
            published = p_of_metric(row, first, second)
            found.append(
                {
                    "metric": row["metric"],
                    "comparison": f"{first} - {second}",
                    "scale": "log" if log else "linear",
                    "n1": one.n,
                    "n2": two.n,
                    "difference": test.difference.value,
                    "difference_low": test.difference.low,
                    "difference_high": test.difference.high,
                    "t": test.statistic,
                    "df": test.df,
                    "p": test.p,
                    "hedges_g": test.effect.value,
                    "p_published": published.text,
                    "agrees": (test.p < SIGNIFICANCE) == published.significant,
                }
            )
    return pd.DataFrame(found, columns=list(UNADJUSTED))


def combined_subgroups() -> pd.DataFrame:
    """Return mean and SD of MS computed from PMS and RRMS, and as printed, with the columns of `COMBINED`."""
    found = []
    for row in rows("table2"):
        parts = [summary(row, name) for name in ("PMS", "RRMS")]
        whole = summary(row, "MS")
        if whole is None or parts[0] is None or parts[1] is None:
            continue
        mean, sd = _combine([p for p in parts if p is not None])
        error = whole.sd / math.sqrt(whole.n)
        found.append((row["metric"], mean, sd, whole.mean, whole.sd, (mean - whole.mean) / error))
    return pd.DataFrame(found, columns=list(COMBINED))


def _combine(parts: list[SampleSummary]) -> tuple[float, float]:
    n = sum(p.n for p in parts)
    mean = sum(p.n * p.mean for p in parts) / n
    squares = sum((p.n - 1) * p.sd**2 + p.n * (p.mean - mean) ** 2 for p in parts)
    return mean, math.sqrt(squares / (n - 1))


def _log(group: SampleSummary) -> SampleSummary:
    variance = math.log1p((group.sd / group.mean) ** 2)
    return SampleSummary(math.log(group.mean) - variance / 2, math.sqrt(variance), group.n)
