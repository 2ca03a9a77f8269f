"""Numbers printed in the paper: groups, Tables 1 to 4, participants per modality."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

from qsmengine.stats.models.comparisons import SampleSummary

STRUCTURES = ("thalamus", "caudate", "putamen", "pallidum")
METRICS = ("MD", "FA", "chi", "rCBV")
SIGNIFICANCE = 0.05
SIZES = {"MS": 77, "HC": 41, "PMS": 25, "RRMS": 52}
"""Participants of each group."""
SIZES_DTI = {"MS": 59, "HC": 38, "PMS": 21, "RRMS": 38}
"""Participants of each group with diffusion MRI."""
COMPARISONS = (("MS", "HC"), ("PMS", "RRMS"))
EDSS_VOLUME = -0.306
"""Standardised beta of the thalamic volume for EDSS in MS; p = 0.02, R2 = 0.322, delta R2 = 0.056."""


@dataclass(frozen=True)
class PValue:
    """A printed p value: ".03" or "<.001".

    Parameters
    ----------
    text
        As printed.
    counted
        Whether the paper marks it as significant; a printed .05 may have been rounded from either side.
    """

    text: str
    counted: bool = False

    @property
    def value(self) -> float:
        """The number, or the bound if only a bound is printed; NaN for an empty cell."""
        return float(self.text.lstrip("<")) if self.text else math.nan

    @property
    def significant(self) -> bool:
        """Whether it is below 0.05, or a printed .05 that the paper marks as significant."""
        return self.value < SIGNIFICANCE or (self.counted and self.value == SIGNIFICANCE)


@dataclass(frozen=True)
class Regression:
    """One predictor of a printed regression model, with the statistics of the model."""

    group: str
    structure: str
    r2: float
    delta_r2: float
    f: float
    delta_f: float
    p_model: PValue
    predictor: str
    beta: float
    t: float
    p: PValue


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a file in ``data`` as text by column."""
    path = resources.files("qsmengine.studies.pontillo2019") / "data" / f"{name}.csv"
    return tuple(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@cache
def regressions() -> tuple[Regression, ...]:
    """Return Tables 3 and 4, one entry per printed predictor."""
    return tuple(
        Regression(
            group=row["group"],
            structure=row["volume"],
            r2=float(row["R2"]),
            delta_r2=float(row["delta_R2"]),
            f=float(row["F"]),
            delta_f=float(row["delta_F"]),
            p_model=PValue(row["p_model"]),
            predictor=row["predictor"],
            beta=float(row["beta"]),
            t=float(row["t"]),
            p=PValue(row["p_predictor"], counted=True),
        )
        for row in rows("table3_4")
    )


def p_of_metric(row: dict[str, str], first: str, second: str) -> PValue:
    """Return the p value of a comparison in Table 2; the Bonferroni mark decides a printed .05."""
    counted = row[f"{first}_vs_{second}_bonferroni"] in {"yes", "no"}
    return PValue(row[f"p_{first}_vs_{second}"], counted)


def size(metric: str, group: str) -> int:
    """Return the number of participants of a group with a metric."""
    return (SIZES_DTI if metric.startswith(("MD_", "FA_")) else SIZES)[group]


def summary(row: dict[str, str], group: str) -> SampleSummary | None:
    """Return printed mean, SD and n of a group in a row of Table 2; None for an empty cell."""
    mean, sd = row[f"{group}_mean"], row[f"{group}_sd"]
    return SampleSummary(float(mean), float(sd), size(row["metric"], group)) if mean else None
