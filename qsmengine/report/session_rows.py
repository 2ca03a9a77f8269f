"""Table of a cohort's sessions: state, light, reasons, outliers, and a column per quality measure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qsmengine.modalities.quality import LIGHTS, Light, Measure, Value, Verdict
from qsmengine.modalities.registry import modality_of
from qsmengine.report.distribution import Distribution
from qsmengine.report.pages import safe_json
from qsmengine.report.quality import SeriesQuality, worst_light
from qsmengine.report.sessions import SessionState

DIGITS = 5
"""Significant digits of values in the data of the page."""


@dataclass(frozen=True)
class Column:
    """Quality measure of one kind of reconstruction."""

    step: str
    variant: str
    measure: Measure

    @property
    def label(self) -> str:
        """Heading: measure and unit."""
        unit = self.measure.unit
        return self.measure.label + (f" [{unit}]" if unit not in {"", "1"} else "")

    @property
    def origin(self) -> str:
        """Modality and variant of the reconstruction, with the definition of the measure."""
        modality = modality_of(self.step)
        kind = self.step if modality is None else modality.title
        return f"{kind}{f' ({self.variant})' if self.variant else ''}: {self.measure.description}"


@dataclass(frozen=True)
class SessionRow:
    """A session of the table; `values` and `lights` belong to the columns."""

    session: SessionState
    verdict: Verdict
    values: tuple[Value, ...]
    lights: tuple[Light | None, ...]
    outliers: int = 0
    farthest: float = 0.0
    where: str = ""

    @property
    def cells(self) -> Iterable[tuple[Value, Light | None]]:
        """Value and light of each column."""
        return zip(self.values, self.lights, strict=True)


@dataclass
class _Far:
    """Outlying values of a session: number, and the farthest with its place."""

    count: int = 0
    distance: float = 0.0
    where: str = field(default="")

    def add(self, distance: float, where: str) -> None:
        self.count += 1
        if abs(distance) > abs(self.distance):
            self.distance, self.where = distance, where


def session_rows(
    sessions: Sequence[SessionState], quality: Sequence[SeriesQuality], found: Iterable[Distribution]
) -> tuple[list[Column], list[SessionRow]]:
    """Return the columns and the rows of the table: red sessions first, those without a light last."""
    own: dict[str, list[SeriesQuality]] = {}
    for one in quality:
        own.setdefault(one.session, []).append(one)
    kinds = {(one.step, one.variant): one.measures for one in quality}
    columns = [
        Column(step, variant, measure)
        for (step, variant), measures in sorted(kinds.items())
        for measure in measures
        if measure.good is not None
    ]
    far = _far(found)
    rows = [_row(session, own.get(session.key, ()), columns, far) for session in sessions]
    return columns, sorted(rows, key=lambda row: (_order(row.verdict), row.session.key))


def _row(
    session: SessionState, own: Sequence[SeriesQuality], columns: Sequence[Column], far: Mapping[str, _Far]
) -> SessionRow:
    by_kind = {(one.step, one.variant): one.values for one in own}
    values = tuple(by_kind.get((c.step, c.variant), {}).get(c.measure.name) for c in columns)
    lights = tuple(c.measure.light(value) for c, value in zip(columns, values, strict=True))
    reasons = tuple(f"{one.step}: {text}" for one in own for text in one.verdict.reasons)
    distant = far.get(session.key, _Far())
    verdict = Verdict(worst_light(own), reasons)
    return SessionRow(session, verdict, values, lights, distant.count, distant.distance, distant.where)


def _far(found: Iterable[Distribution]) -> dict[str, _Far]:
    far: dict[str, _Far] = {}
    for one in found:
        for spread in one.regions:
            for session, distance in spread.outliers.items():
                far.setdefault(session, _Far()).add(distance, f"{spread.region}, {one.name}")
    return far


def _order(verdict: Verdict) -> int:
    return 1 if verdict.light is None else -LIGHTS.index(verdict.light)


def table_data(columns: Sequence[Column], rows: Sequence[SessionRow]) -> str:
    """Return the table as JSON that is safe inside a script element.

    ``columns`` holds [heading, definition]; a row of ``rows`` is key, state, light, reasons, number of
    outliers, distance and place of the farthest, seconds, bytes, values, and a letter per light.
    """
    data: dict[str, Any] = {
        "columns": [[column.label, column.origin] for column in columns],
        "rows": [_data(row) for row in rows],
    }
    return safe_json(json.dumps(data, separators=(",", ":"), allow_nan=False))


def _data(row: SessionRow) -> list[Any]:
    session = row.session
    return [
        session.key,
        session.state,
        row.verdict.light or "",
        "\n".join([*session.reasons, *row.verdict.reasons]),
        row.outliers,
        round(row.farthest, 1),
        row.where,
        round(sum(step.seconds for step in session.steps), 1),
        max((step.peak_memory for step in session.steps), default=0),
        [float(f"{value:.{DIGITS}g}") if isinstance(value, float) else None for value in row.values],
        "".join("-" if light is None else light[0] for light in row.lights),
    ]
