"""Page of a cohort: sortable table of sessions, quality over sessions and time, regional values, outliers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.io.ratings import COLUMNS, VERDICTS
from qsmengine.modalities.quality import LIGHTS
from qsmengine.report.cohort import Cohort
from qsmengine.report.covariates import Covariates
from qsmengine.report.distribution import LEAST, LIMIT, Distribution, Spread
from qsmengine.report.drift import acquired, drift
from qsmengine.report.methods_text import CITATION
from qsmengine.report.pages import asset, markup, shown, write_page
from qsmengine.report.session_rows import session_rows, table_data
from qsmengine.report.sessions import STATES, SessionState
from qsmengine.report.strips import LINKED, strips

INDEX = Path("index.html")
COMMON_NOTES = 40
"""Number of notes that are listed, the most frequent first."""
PART = 250
"""Number of sessions in the table of a page without scripts."""
MOST = 100
"""Largest number of rows of the other tables."""


@dataclass(frozen=True)
class Outlier:
    """An outlying value, as text."""

    session: str
    region: str
    map: str
    value: str
    expected: str
    distance: str


def write_cohort_page(out: str | Path, cohort: Cohort) -> Path:
    """Write ``OUT/index.html``, with links to the pages of the sessions.

    With scripts, the page sorts, filters and rates the sessions of the whole cohort; without, further sessions
    are in ``index-2.html`` and so on. Times of acquisition order the sessions in the drawing of drift.

    Raises
    ------
    DeviceError
        When jinja2 is not installed.
    """
    out, sessions = Path(out), cohort.sessions
    regions, measures = cohort.regions, cohort.measures
    course = drift(measures, acquired(cohort.series, cohort.times))
    columns, rows = session_rows(sessions, cohort.quality, [*measures, *regions])
    counts = Counter(session.state for session in sessions)
    lights = Counter(row.verdict.light for row in rows)
    pages = [str(INDEX), *(f"index-{k}.html" for k in range(2, -(-len(rows) // PART) + 1))]
    shared: dict[str, Any] = {
        "title": f"{len(sessions)} session{'s' if len(sessions) != 1 else ''}",
        "columns": columns,
        "pages": pages,
    }
    for number, name in enumerate(pages[1:], start=2):
        part = rows[(number - 1) * PART : number * PART]
        write_page(out / name, "cohort_part.html", **shared, current=number, rows=part)
    _remove_others(out, pages)
    return write_page(
        out / INDEX,
        "cohort.html",
        **shared,
        counts=[(state, counts[state]) for state in STATES if counts[state]],
        light_counts=[(light, lights[light]) for light in reversed(LIGHTS) if lights[light]],
        has_citation=(out / CITATION).is_file(),
        unfinished=_unfinished(sessions),
        rows=rows[:PART],
        quality=[(_titled(one), markup(strips(one, common=False))) for one in measures if one.regions],
        quality_outliers=outliers(measures),
        drift=course,
        drift_picture=markup(course.picture if course else ""),
        regions=[(_title(one), markup(strips(one))) for one in regions],
        outliers=outliers(regions),
        expected=_expected(cohort.covariates),
        limit=f"{LIMIT:g}",
        least=LEAST,
        linked=LINKED,
        most=MOST,
        notes=Counter(note for session in sessions for note in session.notes).most_common(COMMON_NOTES),
        verdicts=VERDICTS,
        data=markup(table_data(columns, rows)),
        rating=markup(json.dumps({"columns": COLUMNS, "verdicts": VERDICTS})),
        script=markup(asset("cohort.js")),
    )


def _remove_others(out: Path, pages: Iterable[str]) -> None:
    """Remove parts of a larger cohort, written earlier."""
    kept = set(pages)
    for path in out.glob("index-*.html"):
        if re.fullmatch(r"index-\d+\.html", path.name) and path.name not in kept:
            path.unlink()


def _unfinished(sessions: Iterable[SessionState]) -> list[SessionState]:
    rank = {state: place for place, state in enumerate(STATES)}
    return sorted((s for s in sessions if s.state != "done"), key=lambda s: (rank.get(s.state, 9), s.key))


def outliers(found: Sequence[Distribution]) -> list[Outlier]:
    """Return outlying values in order of decreasing distance from the expected value."""
    rows = [
        (abs(distance), _outlier(one, spread, session, distance))
        for one in found
        for spread in one.regions
        for session, distance in spread.outliers.items()
    ]
    return [row for _, row in sorted(rows, key=lambda row: (-row[0], row[1].session))]


def _outlier(one: Distribution, spread: Spread, session: str, distance: float) -> Outlier:
    value, expected = shown(str(spread.values[session])), shown(str(spread.expected[session]))
    return Outlier(session, spread.region, _titled(one), value, expected, f"{distance:+.1f}")


def _expected(covariates: Covariates) -> str:
    """Return the name of the expected value."""
    names = ", ".join(covariates.names)
    return f"value expected from {names} (robust regression, or else the median)" if names else "median"


def _titled(one: Distribution) -> str:
    return f"{one.name} ({one.variant})" if one.variant else one.name


def _title(one: Distribution) -> str:
    what = "Volumes over sessions" if one.name == "volume" else f"{one.name}: regional means over sessions"
    unit = "" if one.unit in {"", "1"} else f" [{one.unit}]"
    return what + unit + (f" ({one.variant})" if one.variant else "")
