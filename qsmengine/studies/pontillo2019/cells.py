"""Comparison of the printed cells of Tables 1 to 4 with those of a cohort.

A p value agrees if it lies on the same side of 0.05 as the printed one and, if that is significant, the
difference has the printed sign. Any other cell agrees if the printed value lies in the 95 % confidence interval
of the cohort.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from qsmengine.stats.analysis.run_models import ModelTables
from qsmengine.stats.models.effects import Interval, partial_eta_squared
from qsmengine.studies.cells import CELLS
from qsmengine.studies.pontillo2019.published import (
    COMPARISONS,
    EDSS_VOLUME,
    SIGNIFICANCE,
    PValue,
    Regression,
    p_of_metric,
    regressions,
    rows,
    summary,
)

_SUBGROUPS = {"MS": ("RRMS", "PMS"), "HC": ("HC",), "RRMS": ("RRMS",), "PMS": ("PMS",)}
Record: TypeAlias = dict[Hashable, Any]
_NAMES = {"DMT": "dmt", "LL": "log_ll"}


@dataclass(frozen=True)
class Fitted:
    """A cohort with the fitted models of the paper."""

    cohort: pd.DataFrame
    tests: pd.DataFrame
    blocks: pd.DataFrame
    coefficients: pd.DataFrame

    @classmethod
    def of(cls, tests: ModelTables, regressions: ModelTables, cohort: pd.DataFrame) -> Fitted:
        """Collect the tables from which the cells are read."""
        return cls(cohort, tests.tests, regressions.blocks, regressions.coefficients)

    def tests_by(self, *keys: str) -> dict[tuple[Any, ...], Record]:
        """Return tests by the values of some columns; the first if there are several."""
        return _index(self.tests, keys)

    def group(self, name: str) -> pd.DataFrame:
        """Return the participants of a group; MS consists of both subgroups."""
        return self.cohort[self.cohort["group"].isin(_SUBGROUPS[name])]


def compare_cells(fitted: Fitted) -> pd.DataFrame:
    """Return every printed cell with the columns of `CELLS`, in the order of the paper."""
    found = [*_table1(fitted), *_table2(fitted), *_tables3_4(fitted), *_disability(fitted)]
    return pd.DataFrame(found, columns=list(CELLS))


def _index(table: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[Any, ...], Record]:
    found: dict[tuple[Any, ...], Record] = {}
    for record in table.to_dict("records"):
        found.setdefault(tuple(record[key] for key in keys), record)
    return found


def _estimate(table: str, row: str, column: str, published: str, value: Interval) -> dict[str, Any]:
    agrees = value.low <= float(published) <= value.high
    cell = {"table": table, "row": row, "column": column, "kind": "estimate", "published": published}
    return {**cell, "value": value.value, "low": value.low, "high": value.high, "agrees": agrees}


def _p(
    table: str, row: str, column: str, published: PValue, p: float, *, same_sign: bool = True
) -> dict[str, Any]:
    agrees = (p < SIGNIFICANCE) == published.significant and (same_sign or not published.significant)
    cell = {"table": table, "row": row, "column": column, "kind": "p", "published": published.text}
    return {**cell, "value": p, "low": math.nan, "high": math.nan, "agrees": agrees and math.isfinite(p)}


def _table1(fitted: Fitted) -> Iterator[dict[str, Any]]:
    models = {"age_mean": "age", "female": "sex", "dmt_treated": "dmt", "edss_median": "edss"}
    models["disease_duration_mean"] = "disease_duration"
    tests = fitted.tests_by("model")
    for row in rows("table1"):
        name = row["variable"]
        for group in ("MS", "HC", "PMS", "RRMS"):
            if row[group] and name != "n":
                yield _estimate("1", name, group, row[group], _describe(fitted.group(group), name))
        for first, second in COMPARISONS:
            published = PValue(row[f"p_{first}_vs_{second}"])
            if published.text:
                p = float(tests[f"{models[name]} {first}",]["p"])
                yield _p("1", name, f"p {first} vs {second}", published, p)


def _describe(group: pd.DataFrame, name: str) -> Interval:
    """Return the value of a row of Table 1 with its interval."""
    counts = {"female": ("sex", "F"), "male": ("sex", "M"), "dmt_treated": ("treated", "yes")}
    if name in counts:
        column, level = counts[name]
        n = len(group)
        k = int((group[column] == level).sum())
        exact = stats.binomtest(k, n).proportion_ci(method="wilson")
        return Interval(k, n * exact.low, n * exact.high)
    column, statistic = name.rsplit("_", 1)
    values = group[column].dropna().to_numpy(np.float64)
    if statistic == "mean":
        return mean_interval(values)
    if statistic == "sd":
        return sd_interval(values)
    if statistic == "median":
        low, high = (int(stats.binom.ppf(q, len(values), 0.5)) for q in (0.025, 0.975))
        ordered = np.sort(values)
        return Interval(float(np.median(values)), float(ordered[max(0, low - 1)]), float(ordered[high]))
    extreme = float(values.min() if statistic == "min" else values.max())
    return Interval(extreme, extreme - 0.5, extreme + 0.5)


def mean_interval(values: np.ndarray) -> Interval:
    """Return the mean with the 95 % interval from Student's t distribution."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half)


def sd_interval(values: np.ndarray) -> Interval:
    """Return the standard deviation with the 95 % interval from the chi-squared distribution."""
    n, sd = len(values), float(values.std(ddof=1))
    low, high = (sd * math.sqrt((n - 1) / stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025))
    return Interval(sd, low, high)


def _table2(fitted: Fitted) -> Iterator[dict[str, Any]]:
    ancova = fitted.tests_by("kind", "outcome", "term", "statistic_name")
    terms = {("MS", "HC"): "cohort", ("PMS", "RRMS"): "group"}
    for row in rows("table2"):
        name = row["metric"]
        for group in ("MS", "HC", "PMS", "RRMS"):
            if row[f"{group}_mean"]:
                values = fitted.group(group)[name].dropna().to_numpy(np.float64)
                yield _estimate("2", name, f"{group} mean", row[f"{group}_mean"], mean_interval(values))
                yield _estimate("2", name, f"{group} sd", row[f"{group}_sd"], _sd(name, values))
        for first, second in COMPARISONS:
            published = p_of_metric(row, first, second)
            if not published.text:
                continue
            outcome = "log_ll" if name == "lesion_load" else name
            effect = ancova["ancova", outcome, terms[first, second], "F"]
            p, corrected = float(effect["p"]), float(effect["p_corrected"])
            difference = float(ancova["ancova", outcome, first, "t"]["estimate"])
            one, two = summary(row, first), summary(row, second)
            same = one is not None and two is not None and difference * (one.mean - two.mean) > 0
            column = f"p {first} vs {second}"
            yield _p("2", name, column, published, p, same_sign=same)
            mark = row[f"{first}_vs_{second}_bonferroni"]
            agrees = (corrected < SIGNIFICANCE) == (mark == "yes") and (same or mark != "yes")
            cell = {
                "table": "2",
                "row": name,
                "column": f"{column}, Bonferroni",
                "kind": "p",
                "published": mark,
            }
            yield {**cell, "value": corrected, "low": math.nan, "high": math.nan, "agrees": agrees}


def _sd(name: str, values: np.ndarray) -> Interval:
    """Return the interval of a standard deviation, for the skewed lesion load from its kurtosis."""
    if name != "lesion_load":
        return sd_interval(values)
    sd = float(values.std(ddof=1))
    half = 1.96 * math.sqrt(max(2.0, float(stats.kurtosis(values)) + 2.0) / len(values)) / 2.0
    return Interval(sd, sd * math.exp(-half), sd * math.exp(half))


def _tables3_4(fitted: Fitted) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    last = {record["model"]: record for record in fitted.blocks.to_dict("records")}
    coefficients = _index(fitted.coefficients, ("model", "block", "predictor"))
    for printed in regressions():
        table, model = ("3" if printed.group == "MS" else "4"), f"{printed.group} {printed.structure}"
        if model not in seen:
            seen.add(model)
            yield from _model_cells(table, model, printed, last[model])
        name = _NAMES.get(printed.predictor, printed.predictor)
        found = coefficients.get((model, last[model]["block"], name))
        yield from _predictor_cells(table, f"{model}: {printed.predictor}", printed.beta, printed.p, found)


def _predictor_cells(
    table: str, row: str, printed: float, printed_p: PValue, found: Record | None
) -> Iterator[dict[str, Any]]:
    beta, p = Interval(math.nan, math.nan, math.nan), math.nan
    if found is not None:
        beta, p = Interval(found["beta"], found["beta_low"], found["beta_high"]), float(found["p"])
    yield _estimate(table, row, "beta", f"{printed:g}", beta)
    yield _p(table, row, "p", printed_p, p, same_sign=beta.value * printed > 0)


def _model_cells(table: str, model: str, printed: Regression, last: Record) -> Iterator[dict[str, Any]]:
    r2 = partial_eta_squared(last["f"], last["df1"], last["df2"])
    delta = partial_eta_squared(last["delta_f"], last["delta_df"], last["df2"])
    # delta R2 is a share of the total variance, partial eta squared one of what the other blocks leave.
    left = 1.0 - last["r2"] + last["delta_r2"]
    increase = Interval(last["delta_r2"], delta.low * left, delta.high * left)
    yield _estimate(table, model, "R2", f"{printed.r2:g}", Interval(last["r2"], r2.low, r2.high))
    yield _estimate(table, model, "delta R2", f"{printed.delta_r2:g}", increase)
    yield _p(table, model, "p", printed.p_model, float(last["p_corrected"]))


def _disability(fitted: Fitted) -> Iterator[dict[str, Any]]:
    found = _index(fitted.coefficients, ("model", "block", "predictor"))["MS edss", 3, "volume_thalamus"]
    yield from _predictor_cells("EDSS", "MS edss: volume_thalamus", EDSS_VOLUME, PValue(".02"), found)
