"""Pages and citations of an output folder, with the states from the ledger if it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from qsmengine.backend.device import available_threads
from qsmengine.cohort.ledger.records import read_record, recorded_sessions
from qsmengine.cohort.outputs.times import session_time
from qsmengine.cohort.plan.model import StepRecord
from qsmengine.errors import InputError, UsageError
from qsmengine.report.cohort_page import write_cohort_page
from qsmengine.report.distribution import condensed
from qsmengine.report.methods_text import USED, write_citation
from qsmengine.report.quality import SeriesQuality, quality_beside
from qsmengine.report.records import (
    ReconstructedSeries,
    RegionTable,
    ResultFiles,
    find_results,
    is_key,
    read_series,
    read_table,
)
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState, StepState
from qsmengine.report.volume_page import volume_file, write_volume_page

PAGES_PER_PROCESS = 8
"""Number of pages that justifies one more process."""
CHUNK = 4
"""Number of sessions handed to a process at a time."""


@dataclass(frozen=True)
class PageJob:
    """A session to report: key, files, and whether its page and its interactive page are written."""

    key: str
    files: ResultFiles
    page: bool
    interactive: bool = False


@dataclass(frozen=True)
class Reported:
    """Parts of a session's results that the pages of the whole cohort need, and its page if it has one."""

    state: SessionState
    series: tuple[ReconstructedSeries, ...]
    tables: tuple[RegionTable, ...]
    quality: tuple[SeriesQuality, ...]
    page: Path | None
    time: datetime | None


def write_reports(
    out: str | Path,
    sessions: Iterable[str] | None = None,
    *,
    jobs: int | None = None,
    interactive: bool = False,
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
    interactive
        Write a page with the volumes of each session too; without, such pages of an earlier report are removed,
        because their maps may have changed.
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
    files = find_results(out)
    keys = sorted({*filter(is_key, recorded_sessions(out)), *files})
    if not keys:
        raise InputError("contains no provenance (*_prov.json) and no ledger: nothing to report", source=out)
    wanted = _wanted(keys, sessions)
    work = [PageJob(key, files.get(key, ResultFiles()), key in wanted, interactive) for key in keys]
    pages, reported = dict[str, Path](), []
    for one in _report(out, work, jobs):
        reported.append(one)
        if one.page is not None:
            pages[one.state.key] = one.page
            if on_page is not None:
                on_page(len(pages), len(wanted))
    written = [pages[key] for key in wanted]
    series = [entry for one in reported for entry in one.series]
    if series:
        written.append(write_citation(out, series))
    states, tables = [one.state for one in reported], [table for one in reported for table in one.tables]
    quality = [entry for one in reported for entry in one.quality]
    times = {one.state.key: one.time for one in reported if one.time is not None}
    written.append(write_cohort_page(out, states, tables, quality, series, times))
    return written


def _report(out: Path, work: Sequence[PageJob], jobs: int | None) -> Iterator[Reported]:
    """Read the sessions and write their pages; large numbers are divided among several processes."""
    processes = min(jobs or available_threads(), len(work) // PAGES_PER_PROCESS)
    if processes <= 1:
        yield from map(partial(_report_session, out), work)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_report_session, out), work, chunksize=CHUNK)


def _report_session(out: Path, work: PageJob) -> Reported:
    series = read_series(work.files.provenance)
    tables = [read_table(path) for path in work.files.tables]
    state = read_state(out, work.key) or _state_of(work.key, series)
    page = _write_page(out, work, state, series, tables) if work.page else None
    quality = (quality_beside(entry.folder, entry.stem, entry.kind) for entry in series)
    return Reported(
        state,
        tuple(entry.reduced(USED) for entry in series),
        tuple(map(condensed, tables)),
        tuple(one for one in quality if one is not None),
        page,
        session_time(out, series),
    )


def _write_page(
    out: Path,
    work: PageJob,
    state: SessionState,
    series: Sequence[ReconstructedSeries],
    tables: Sequence[RegionTable],
) -> Path:
    """Write the page of a session, and that of its volumes where wanted."""
    volumes = write_volume_page(out, work.key, series) if work.interactive else None
    if volumes is None:
        volume_file(out, work.key).unlink(missing_ok=True)
    return write_session_page(out, state, series, tables, "" if volumes is None else volumes.name)


def read_state(out: Path, key: str) -> SessionState | None:
    """Return a session of the ledger, None if it is not there. A damaged record has the state "damaged"."""
    record, damage = read_record(out, key)
    if record is None:
        return SessionState(key, "damaged", (damage,)) if damage else None
    steps = tuple(_step(name, step) for name, step in record.steps.items())
    return SessionState(key, record.state, record.problems, steps)


def _state_of(key: str, series: Iterable[ReconstructedSeries]) -> SessionState:
    """Return the state of a session that has files but no record."""
    return SessionState(key, steps=tuple(StepState(s.kind, "done", notes=s.notes) for s in series))


def _step(name: str, step: StepRecord) -> StepState:
    return StepState(
        name, step.state, step.reason, step.notes, step.seconds, step.peak_memory, step.device, step.attempts
    )


def _wanted(keys: Sequence[str], chosen: Iterable[str] | None) -> dict[str, None]:
    """Return the chosen keys as an ordered set; None chooses all."""
    if chosen is None:
        return dict.fromkeys(keys)
    wanted, known = dict.fromkeys(chosen), set(keys)
    missing = next((key for key in wanted if key not in known), None)
    if missing is not None:
        raise UsageError(f"no session {missing} in the folder (there are {len(keys)})")
    return wanted
