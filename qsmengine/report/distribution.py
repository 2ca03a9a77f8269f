"""Distribution of regional values over the sessions of a cohort, and outliers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qsmengine.report.covariates import Covariates
from qsmengine.report.records import RegionTable

LIMIT = 3.0
"""Scaled median absolute deviations from the median beyond which a value is an outlier."""
LEAST = 5
"""Least number of sessions in which outliers of a region are sought."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""
SIDES = ("bilateral", "midline")


@dataclass(frozen=True)
class Spread:
    """Values of a region or measure over the sessions.

    Parameters
    ----------
    region, values
        Name, and session -> value.
    median, deviation
        Median, and scaled median absolute deviation from the expected values.
    expected
        Session -> value expected from the covariates; the median without any.
    good
        Range of good values of a quality measure.
    """

    region: str
    values: dict[str, float]
    median: float
    deviation: float
    expected: dict[str, float]
    good: tuple[float | None, float | None] | None = None

    @cached_property
    def distances(self) -> dict[str, float]:
        """Session -> distance from the expected value in scaled deviations; empty if it is not defined."""
        if len(self.values) < LEAST or self.deviation == 0.0:
            return {}
        return {key: (value - self.expected[key]) / self.deviation for key, value in self.values.items()}

    @cached_property
    def outliers(self) -> dict[str, float]:
        """Distances beyond the limit."""
        return {key: distance for key, distance in self.distances.items() if abs(distance) > LIMIT}


@dataclass(frozen=True)
class Distribution:
    """A map's mean (or the volume) in every region; `variant` names the kind of table if there are several."""

    name: str
    unit: str
    regions: tuple[Spread, ...]
    variant: str = ""


def distributions(tables: Iterable[RegionTable], covariates: Covariates | None = None) -> list[Distribution]:
    """Return the means of every map, and the volumes, for both sides together and structures without sides.

    Different segmentations, acquisitions and runs are separate distributions.
    """
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    units: dict[str, str] = {"volume_mm3": "mm^3"}
    for table in tables:
        units |= {f"{name}_mean": table.units.get(f"{name}_mean", "") for name in table.maps}
        columns = found.setdefault(table.variant, {})
        for row in table.rows:
            if row["hemisphere"] not in SIDES:
                continue
            for column in (*(f"{name}_mean" for name in table.maps), "volume_mm3"):
                value = _number(row.get(column, ""))
                if math.isfinite(value):
                    columns.setdefault(column, {}).setdefault(row["region"], {})[table.session] = value
    return [
        Distribution(
            "volume" if column == "volume_mm3" else column.removesuffix("_mean"),
            units.get(column, ""),
            tuple(spread_of(region, values, covariates) for region, values in columns[column].items()),
            variant if len(found) > 1 else "",
        )
        for variant, columns in sorted(found.items())
        for column in sorted(columns, key=lambda c: c == "volume_mm3")
    ]


def condensed(table: RegionTable) -> RegionTable:
    """Return a table reduced to the rows and columns that its distributions need."""
    wanted = ("region", "hemisphere", "volume_mm3", *(f"{name}_mean" for name in table.maps))
    rows = (
        {name: row[name] for name in wanted if name in row} for row in table.rows if row["hemisphere"] in SIDES
    )
    units = {name: unit for name, unit in table.units.items() if name in wanted}
    return replace(table, rows=tuple(rows), units=units)


def spread_of(
    region: str,
    values: dict[str, float],
    covariates: Covariates | None = None,
    good: tuple[float | None, float | None] | None = None,
) -> Spread:
    """Return the spread of the values (session -> value) of a region or measure."""
    array = np.array(list(values.values()))
    expected = (covariates or Covariates()).expected(values)
    apart = array - np.array(list(expected.values()))
    deviation = NORMAL * float(np.median(np.abs(apart)))
    return Spread(region, values, float(np.median(array)), deviation, expected, good)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
