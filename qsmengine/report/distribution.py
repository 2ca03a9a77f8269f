"""Distribution of regional values over the sessions of a cohort, and outliers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.report.covariates import Covariates
from qsmengine.report.records import RegionTable

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = tuple[tuple[str, str], ...]

LIMIT = 3.0
"""Scaled median absolute deviations from the median beyond which a value is an outlier."""
LEAST = 5
"""Least number of sessions in which outliers of a region are sought."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""
SIDES = ("bilateral", "midline")


class Numbers(Mapping[str, float]):
    """Numbers of sessions as one array; columns of the same sessions share their index."""

    __slots__ = ("array", "index")

    def __init__(self, index: Mapping[str, int], array: Floats) -> None:
        self.index, self.array = index, array

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Numbers:
        """Return a mapping as numbers."""
        if isinstance(values, cls):
            return values
        return cls({key: k for k, key in enumerate(values)}, np.array(list(values.values()), dtype=np.float64))

    def __getitem__(self, key: str) -> float:
        return float(self.array[self.index[key]])

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def like(self, array: Floats) -> Numbers:
        """Return other numbers of the same sessions."""
        return Numbers(self.index, array)


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
    values: Numbers
    median: float
    deviation: float
    expected: Numbers
    good: tuple[float | None, float | None] | None = None

    @cached_property
    def distances(self) -> Numbers:
        """Session -> distance from the expected value in scaled deviations; empty if it is not defined."""
        if len(self.values) < LEAST or self.deviation == 0.0:
            return Numbers({}, np.empty(0))
        return self.values.like((self.values.array - self.expected.array) / self.deviation)

    @cached_property
    def outliers(self) -> dict[str, float]:
        """Distances beyond the limit."""
        far = np.abs(self.distances.array) > LIMIT
        return {key: self.distances[key] for key, out in zip(self.distances, far, strict=True) if out}


@dataclass(frozen=True)
class Distribution:
    """A map's mean (or the volume) in every region; `variant` names the kind of table if there are several."""

    name: str
    unit: str
    regions: tuple[Spread, ...]
    variant: str = ""


@dataclass(frozen=True)
class Means:
    """Regional means and volumes of a session: both sides together and structures without sides.

    Parameters
    ----------
    session, variant
        Session, and kind of table.
    labels
        (column, region) of the numbers.
    numbers
        (label,) finite values; NaN where the table has none.
    units
        Column -> unit.
    """

    session: str
    variant: str
    labels: Labels
    numbers: Floats
    units: Mapping[str, str]


def means_of(table: RegionTable) -> Means:
    """Return the numbers of a table that its distributions need, without structures that are not reliable.

    Raises
    ------
    InputError
        For a cell that is neither a number nor n/a.
    """
    columns = (*(f"{name}_mean" for name in table.maps), "volume_mm3")
    rows = [row for row in table.rows if row["hemisphere"] in SIDES and row.get("reliable") != "0"]
    labels = tuple((column, row["region"]) for column in columns for row in rows)
    numbers = np.array([_number(table, row, column) for column in columns for row in rows], dtype=np.float64)
    units = {column: table.units.get(column, "") for column in columns} | {"volume_mm3": "mm^3"}
    return Means(table.session, table.variant, labels, numbers, units)


def distributions(found: Iterable[Means], covariates: Covariates | None = None) -> list[Distribution]:
    """Return the distribution of every mean, and of the volumes.

    Different segmentations, acquisitions and runs are separate distributions.
    """
    kinds: dict[str, list[Means]] = {}
    for one in found:
        kinds.setdefault(one.variant, []).append(one)
    made = []
    for variant, members in sorted(kinds.items()):
        units = {name: unit for one in members for name, unit in one.units.items()}
        columns: dict[str, dict[str, Numbers]] = {}
        for (column, region), values in _by_label(members).items():
            columns.setdefault(column, {})[region] = values
        made += [
            Distribution(
                "volume" if column == "volume_mm3" else column.removesuffix("_mean"),
                units[column],
                tuple(spread_of(region, values, covariates) for region, values in columns[column].items()),
                variant if len(kinds) > 1 else "",
            )
            for column in sorted(columns, key=lambda c: c == "volume_mm3")
        ]
    return made


def _by_label(members: Sequence[Means]) -> dict[tuple[str, str], Numbers]:
    """Return the finite numbers of every label; labels of the same sessions share their index."""
    indices: dict[tuple[str, ...], dict[str, int]] = {}
    groups: dict[Labels, list[int]] = {}
    members = list({one.session: one for one in members}.values())
    for number, one in enumerate(members):
        groups.setdefault(one.labels, []).append(number)
    columns: dict[tuple[str, str], list[tuple[list[int], Floats]]] = {}
    for labels, numbers in groups.items():
        matrix = np.stack([members[number].numbers for number in numbers])
        for label, column in zip(labels, matrix.T, strict=True):
            columns.setdefault(label, []).append((numbers, column))
    made = {}
    for label, parts in columns.items():
        order = np.concatenate([numbers for numbers, _ in parts])
        values = np.concatenate([column for _, column in parts])
        keep = np.flatnonzero(np.isfinite(values))
        keep = keep[np.argsort(order[keep], kind="stable")]
        keys = tuple(members[number].session for number in order[keep])
        if keys:
            index = indices.setdefault(keys, {key: k for k, key in enumerate(keys)})
            made[label] = Numbers(index, values[keep])
    return made


def spread_of(
    region: str,
    values: Mapping[str, float],
    covariates: Covariates | None = None,
    good: tuple[float | None, float | None] | None = None,
) -> Spread:
    """Return the spread of the values (session -> value) of a region or measure."""
    own = Numbers.of(values)
    expected = own.like((covariates or Covariates()).expected(tuple(own), own.array))
    deviation = NORMAL * float(np.median(np.abs(own.array - expected.array)))
    return Spread(region, own, float(np.median(own.array)), deviation, expected, good)


def _number(table: RegionTable, row: Mapping[str, str], column: str) -> float:
    text = row.get(column, "").strip()
    try:
        return math.nan if text in {"", "n/a"} else float(text)
    except ValueError:
        field = f"{column} of {row['region']}"
        raise InputError(f"{text[:40]!r} is not numeric", source=table.path, field=field) from None
