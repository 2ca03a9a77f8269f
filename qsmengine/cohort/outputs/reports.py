"""Pages and citations of an output folder, with the states from the ledger if it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from qsmengine.backend.device import available_threads
from qsmengine.cohort.ledger.records import read_all
from qsmengine.cohort.plan.model import StepRecord
from qsmengine.errors import InputError, UsageError
from qsmengine.report.cohort_page import write_cohort_page
from qsmengine.report.methods_text import write_citation
from qsmengine.report.records import ReconstructedSeries, RegionTable, find_series, find_tables, is_key
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState, StepState

Entry = TypeVar("Entry", ReconstructedSeries, RegionTable)
PAGES_PER_PROCESS = 8
"""Number of pages that justifies one more process."""


def write_reports(
    out: str | Path,
    sessions: Iterable[str] | None = None,
    *,
    jobs: int | None = None,
    on_page: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a page per session, ``index.html`` and ``logs/CITATION.md`` into a folder of results.

    Parameters
    ----------
    out
        Folder of a cohort run, or of single runs.
    sessions
        Keys (``sub-X[_ses-Y]``) of the sessions to write pages for; None writes all.
    jobs
        Processes for a large number of pages; None starts one per core.
    on_page
        Called with the number of pages done and the total.

    Raises
    ------
    InputError
        If the folder holds neither provenance nor a ledger, or a provenance file or table cannot be read.
    UsageError
        If a session does not exist.
    """
    out = Path(out)
    if not out.is_dir():
        raise InputError("no such folder", source=out)
    series, tables = find_series(out), find_tables(out)
    states = known_sessions(out, series, tables)
    if not states:
        raise InputError("holds no provenance (*_prov.json) and no ledger: nothing to report", source=out)
    written = _write_pages(out, _wanted(states, sessions), series, tables, jobs, on_page)
    if series:
        written.append(write_citation(out, series))
    written.append(write_cohort_page(out, states, tables))
    return written


def _write_pages(
    out: Path,
    states: Sequence[SessionState],
    series: Sequence[ReconstructedSeries],
    tables: Sequence[RegionTable],
    jobs: int | None,
    on_page: Callable[[int, int], None] | None,
) -> list[Path]:
    """Write the pages of the sessions; large numbers of pages are written by several processes."""
    own_series, own_tables = _by_session(series), _by_session(tables)
    work = [(out, s, own_series.get(s.key, []), own_tables.get(s.key, [])) for s in states]
    processes = min(jobs or available_threads(), len(work) // PAGES_PER_PROCESS)
    written = []
    with ExitStack() as stack:
        made: Iterable[Path] = starmap(write_session_page, work)
        if processes > 1:
            pool = stack.enter_context(ProcessPoolExecutor(processes, mp_context=get_context("spawn")))
            made = pool.map(write_session_page, *zip(*work, strict=True), chunksize=2)
        for number, path in enumerate(made, start=1):
            written.append(path)
            if on_page is not None:
                on_page(number, len(work))
    return written


def _by_session(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.session, []).append(entry)
    return found


def known_sessions(
    out: Path, series: Sequence[ReconstructedSeries], tables: Sequence[RegionTable] = ()
) -> list[SessionState]:
    """Return the sessions of the ledger; sessions that only have files are added as done."""
    found = {state.key: state for state in read_states(out)}
    by_session = _by_session(series)
    for key in [entry.session for entry in series] + [table.session for table in tables]:
        if key not in found:
            own = by_session.get(key, [])
            steps = tuple(StepState(s.kind, "done", notes=s.notes) for s in own)
            found[key] = SessionState(key, steps=steps)
    return [found[key] for key in sorted(found)]


def read_states(out: Path) -> list[SessionState]:
    """Return the sessions of the ledger; none without a ledger. Damaged records have the state "damaged"."""
    states = []
    for key, record, damage in read_all(out):
        if not is_key(key):
            continue
        if record is None:
            states.append(SessionState(key, "damaged", (damage,)))
            continue
        steps = tuple(_step(name, step) for name, step in record.steps.items())
        states.append(SessionState(key, record.state, record.problems, steps))
    return states


def _step(name: str, step: StepRecord) -> StepState:
    return StepState(
        name, step.state, step.reason, step.notes, step.seconds, step.peak_memory, step.device, step.attempts
    )


def _wanted(states: Sequence[SessionState], keys: Iterable[str] | None) -> list[SessionState]:
    if keys is None:
        return list(states)
    known = {state.key: state for state in states}
    chosen = list(dict.fromkeys(keys))
    missing = [key for key in chosen if key not in known]
    if missing:
        raise UsageError(f"no session {missing[0]} in the folder (there are {len(known)})")
    return [known[key] for key in chosen]
