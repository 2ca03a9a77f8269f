"""Cohort of sessions: quality, regional values, and the values expected of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qsmengine.report.covariates import Covariates, read_ages, read_covariates, scanner_of
from qsmengine.report.distribution import LIMIT, Distribution, Means, Spread, distributions
from qsmengine.report.quality import SeriesQuality, quality_distributions
from qsmengine.report.records import ReconstructedSeries
from qsmengine.report.sessions import SessionState


class Compared(NamedTuple):
    """Regional value of a session with the value expected from the cohort, and their distance [deviations]."""

    region: str
    value: float
    expected: float
    distance: float


@dataclass(frozen=True)
class Comparison:
    """Values of one map of a session in the cohort, of `sessions` sessions at most."""

    name: str
    unit: str
    variant: str
    sessions: int
    rows: tuple[Compared, ...]


@dataclass(frozen=True)
class Cohort:
    """Sessions with their quality and the distributions of regional values and measures.

    Parameters
    ----------
    sessions, quality, series
        States, quality tables and reconstructions.
    times
        Session -> time of acquisition.
    ages
        Session -> age of its participant [years], where it is known.
    covariates
        Covariates that the distributions are adjusted for.
    regions, measures
        Distributions of regional values, and of quality measures.
    """

    sessions: Sequence[SessionState]
    quality: Sequence[SeriesQuality] = ()
    series: Sequence[ReconstructedSeries] = ()
    times: Mapping[str, datetime] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict)
    covariates: Covariates = field(default_factory=Covariates)
    regions: Sequence[Distribution] = ()
    measures: Sequence[Distribution] = ()

    def compared(self, session: str) -> tuple[Comparison, ...]:
        """Return the regional values of a session whose distance from the cohort is defined.

        Maps after the first have rows only if one is beyond the limit of outliers.
        """
        found = list[Comparison]()
        for one in self.regions:
            rows = tuple(row for spread in one.regions if (row := _compared(spread, session)) is not None)
            if rows:
                far = any(abs(row.distance) > LIMIT for row in rows)
                rows = rows if far or not found else ()
                most = max(len(spread.values) for spread in one.regions)
                found.append(Comparison(one.name, one.unit, one.variant, most, rows))
        return tuple(found)


def _compared(spread: Spread, session: str) -> Compared | None:
    place = spread.distances.index.get(session)
    if place is None:
        return None
    columns = (spread.values, spread.expected, spread.distances)
    return Compared(spread.region, *(column.array.item(place) for column in columns))


def cohort_of(
    out: str | Path,
    sessions: Sequence[SessionState],
    means: Iterable[Means] = (),
    quality: Sequence[SeriesQuality] = (),
    series: Sequence[ReconstructedSeries] = (),
    times: Mapping[str, datetime] | None = None,
) -> Cohort:
    """Return the cohort of sessions; adjusted for age, sex, site and scanner of participants.tsv.

    Raises
    ------
    InputError
        For a participants.tsv that cannot be read.
    """
    scanners = {one.session: scanner for one in series if (scanner := scanner_of(one))}
    keys = [session.key for session in sessions]
    covariates = read_covariates(Path(out), keys, scanners)
    regions = distributions(means, covariates)
    measures = quality_distributions(quality, covariates)
    ages = read_ages(Path(out), keys)
    return Cohort(sessions, quality, series, times or {}, ages, covariates, regions, measures)
