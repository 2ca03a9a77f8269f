"""Page of a cohort: state of every session with reasons, regional values, outliers, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.modalities.quality import LIGHTS, Light, Verdict
from qsmengine.report.distribution import (
    LEAST,
    LIMIT,
    Distribution,
    Spread,
    distributions,
    draw_distribution,
)
from qsmengine.report.methods_text import CITATION
from qsmengine.report.pages import embedded, shown, write_page
from qsmengine.report.quality import SeriesQuality, quality_distributions, worst_light
from qsmengine.report.records import RegionTable
from qsmengine.report.sessions import STATES, SessionState

INDEX = Path("index.html")
COMMON_NOTES = 40
"""Number of notes that are listed, the most frequent first."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure embedded in the page."""

    title: str
    picture: str


@dataclass(frozen=True)
class Outlier:
    """An outlying regional value, as text."""

    session: str
    region: str
    map: str
    value: str
    median: str
    distance: str


def write_cohort_page(
    out: str | Path,
    sessions: Sequence[SessionState],
    tables: Sequence[RegionTable] = (),
    quality: Sequence[SeriesQuality] = (),
) -> Path:
    """Write ``OUT/index.html``, with links to the pages of the sessions.

    Raises
    ------
    DeviceError
        When jinja2 is not installed.
    """
    out = Path(out)
    found = distributions(tables)
    lights = {key: _judged(own) for key, own in _by_session(quality).items()}
    counts = Counter(session.state for session in sessions)
    rank = {state: place for place, state in enumerate(STATES)}
    unfinished = sorted((s for s in sessions if s.state != "done"), key=lambda s: (rank.get(s.state, 9), s.key))
    notes = Counter(note for session in sessions for note in session.notes)
    return write_page(
        out / INDEX,
        "cohort.html",
        title=f"{len(sessions)} session{'s' if len(sessions) != 1 else ''}",
        counts=[(state, counts[state]) for state in STATES if counts[state]],
        has_citation=(out / CITATION).is_file(),
        unfinished=unfinished,
        figures=[EmbeddedFigure(_title(one), embedded(draw_distribution(one))) for one in found],
        outliers=outliers(found),
        lights=lights,
        light_counts=[(light, n) for light in reversed(LIGHTS) if (n := _count(lights.values(), light))],
        quality_outliers=outliers(quality_distributions(quality)),
        limit=f"{LIMIT:g}",
        least=LEAST,
        notes=notes.most_common(COMMON_NOTES),
        sessions=sorted(sessions, key=lambda s: (_order(lights.get(s.key)), s.key)),
    )


def _by_session(quality: Sequence[SeriesQuality]) -> dict[str, list[SeriesQuality]]:
    found: dict[str, list[SeriesQuality]] = {}
    for one in quality:
        found.setdefault(one.session, []).append(one)
    return found


def _judged(own: Sequence[SeriesQuality]) -> Verdict:
    """Return the worst light of a session's reconstructions, and all reasons."""
    return Verdict(
        worst_light(own), tuple(f"{one.step}: {text}" for one in own for text in one.verdict.reasons)
    )


def _count(verdicts: Iterable[Verdict], light: Light) -> int:
    return sum(verdict.light == light for verdict in verdicts)


def _order(verdict: Verdict | None) -> int:
    """Return the place of a session in the table: red first, sessions without a light last."""
    return 1 if verdict is None or verdict.light is None else -LIGHTS.index(verdict.light)


def outliers(found: Sequence[Distribution]) -> list[Outlier]:
    """Return outlying values in order of decreasing distance from the median."""
    rows = [
        (abs(distance), _outlier(one, spread, session, distance))
        for one in found
        for spread in one.regions
        for session, distance in spread.outliers.items()
    ]
    return [row for _, row in sorted(rows, key=lambda row: (-row[0], row[1].session))]


def _outlier(one: Distribution, spread: Spread, session: str, distance: float) -> Outlier:
    name = f"{one.name} ({one.variant})" if one.variant else one.name
    value, median = shown(str(spread.values[session])), shown(str(spread.median))
    return Outlier(session, spread.region, name, value, median, f"{distance:+.1f}")


def _title(distribution: Distribution) -> str:
    name, variant = distribution.name, f" ({distribution.variant})" if distribution.variant else ""
    what = "Volumes over sessions" if name == "volume" else f"{name}: regional means over sessions"
    return what + variant
