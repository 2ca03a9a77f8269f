"""Sessions that a table of ratings excludes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from qsmengine.errors import InputError, shorten
from qsmengine.io.ratings import COLUMNS, EXCLUDE, VERDICTS
from qsmengine.stats.derivatives.collect import SESSION, Cohort
from qsmengine.stats.problems import did_you_mean, raise_problems
from qsmengine.stats.tables import read_table


@dataclass(frozen=True)
class Excluded:
    """A session that a person excluded; `session` is None for a participant without sessions."""

    participant: str
    session: str | None
    reason: str


def without_excluded(cohort: Cohort, ratings: str | Path) -> tuple[Cohort, list[Excluded]]:
    """Return a cohort without the sessions whose verdict is "exclude", and those sessions.

    A participant without a remaining region table is removed from the participants too.

    Parameters
    ----------
    cohort
        Region tables and participants.
    ratings
        TSV with the columns participant_id, session_id (n/a: no sessions), verdict, and optionally comment, as
        saved from the page of a cohort.

    Raises
    ------
    InputError
        Listing every problem: a missing column, an unknown verdict or participant, no session_id for a
        participant with sessions, a session with two rows; or if every session is excluded.
    """
    path = Path(ratings)
    found = _rejected(_read(path), cohort, path)
    gone = {(one.participant, one.session) for one in found}
    measures = cohort.measures[~_keys(cohort.measures).isin(gone)]
    if measures.empty:
        raise InputError("excludes every session that has a region table", source=path, field="verdict")
    rated = {one.participant for one in found} - set(measures["participant_id"])
    people = cohort.participants[~cohort.participants["participant_id"].isin(rated)]
    sessions = cohort.sessions[~_keys(cohort.sessions).isin(gone)]
    kept = replace(cohort, measures=measures, participants=people, sessions=sessions)
    return kept, found


def _read(path: Path) -> pd.DataFrame:
    table = read_table(path)
    for name in COLUMNS[:-1]:
        if name not in table:
            raise InputError(
                f"has no such column; columns: {', '.join(table.columns)}", source=path, field=name
            )
    if table["participant_id"].isna().any():
        row = int(table["participant_id"].isna().to_numpy().argmax()) + 2
        raise InputError(f"line {row} has none", source=path, field="participant_id")
    return table.assign(
        participant_id="sub-" + table["participant_id"].str.removeprefix("sub-"),
        session_id=table["session_id"].astype(object).str.removeprefix("ses-"),
        comment=table.get("comment", pd.Series(index=table.index, dtype=object)),
    )


def _rejected(table: pd.DataFrame, cohort: Cohort, path: Path) -> list[Excluded]:
    """Return the excluded sessions; raise InputError for rows that cannot be understood."""
    measured = cohort.measures[list(SESSION)].drop_duplicates()
    sessions: dict[str, set[str | None]] = {}
    for participant, session in zip(measured["participant_id"], _labels(measured), strict=True):
        sessions.setdefault(participant, set()).add(session)
    known = {*sessions, *cohort.participants["participant_id"]}
    problems, found, seen = list[tuple[str, str]](), list[Excluded](), set[tuple[str, str | None]]()
    rows = zip(table["participant_id"], _labels(table), table["verdict"], table["comment"], strict=True)
    for line, (participant, session, verdict, comment) in enumerate(rows, start=2):
        where = f"line {line}"
        if (participant, session) in seen:
            problems.append((where, f"{participant} {session or ''}".strip() + " has two rows"))
        seen.add((participant, session))
        if verdict not in VERDICTS:
            problems.append((where, f"verdict is not one of {', '.join(VERDICTS)}: {_text(verdict)}"))
        elif participant not in known:
            problems.append((where, f"no participant {did_you_mean(participant, known)}"))
        elif session is None and None not in (own := sessions.get(participant, {None})):
            names = shorten([f"ses-{name}" for name in sorted(filter(None, own))])
            problems.append((where, f"{participant} has {names}: name one in session_id"))
        elif verdict == EXCLUDE:
            note = f": {comment}" if isinstance(comment, str) else ""
            absent = "" if session in sessions.get(participant, ()) else "; it has no region table"
            found.append(Excluded(participant, session, f"excluded by {path.name}{note}{absent}"))
    raise_problems(problems, "the ratings cannot be used", path)
    return found


def _text(value: object) -> str:
    return repr(value) if isinstance(value, str) else "n/a"


def _labels(table: pd.DataFrame) -> list[str | None]:
    return [value if isinstance(value, str) else None for value in table["session_id"]]


def _keys(table: pd.DataFrame) -> pd.Series[Any]:
    """Return (participant, session or None) of every row."""
    return pd.Series(
        list(zip(table["participant_id"], _labels(table), strict=True)), index=table.index, dtype=object
    )
