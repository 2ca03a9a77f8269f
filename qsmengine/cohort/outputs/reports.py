"""Pages and citations of an output folder, with the states from the ledger if it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from qsmengine.backend.device import available_threads
from qsmengine.cohort.ledger.records import read_record, recorded_sessions
from qsmengine.cohort.outputs.times import session_time
from qsmengine.cohort.plan.model import StepRecord
from qsmengine.errors import InputError, UsageError
from qsmengine.report.cohort import Cohort, Comparison, cohort_of
from qsmengine.report.cohort_page import write_cohort_page
from qsmengine.report.covariates import participants_problem
from qsmengine.report.distribution import Labels, Means, means_of
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
Source = TypeVar("Source")
Content = TypeVar("Content")
Map: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class PageJob:
    """Page to write: key and files of the session, its values in the cohort, age, and whether interactive."""

    key: str
    files: ResultFiles
    compared: tuple[Comparison, ...] = ()
    age: float | None = None
    interactive: bool = False


@dataclass(frozen=True)
class Read:
    """Parts of a session's results that the pages of the whole cohort need."""

    state: SessionState
    series: tuple[ReconstructedSeries, ...]
    means: tuple[Means, ...]
    quality: tuple[SeriesQuality, ...]
    time: datetime | None


def write_reports(
    out: str | Path,
    sessions: Iterable[str] | None = None,
    *,
    jobs: int | None = None,
    interactive: bool = False,
    on_page: Callable[[int, int], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write a page per session, ``index.html`` and ``logs/CITATION.md`` into a folder of results.

    A session with a file that cannot be read is damaged: its page says so, and shows the rest.

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
    on_problem
        Called with each file that cannot be read, and why.
    on_note
        Called if the participants of the raw dataset cannot be used, with the reason.

    Raises
    ------
    InputError
        If the folder holds neither provenance nor a ledger, or participants.tsv cannot be read.
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
    note = participants_problem(out)
    if note and on_note is not None:
        on_note(note)
    with _pool(len(keys), jobs) as run:
        cohort = _cohort(out, run(partial(_read, out), [(key, files.get(key, ResultFiles())) for key in keys]))
        work = [
            PageJob(key, files.get(key, ResultFiles()), cohort.compared(key), cohort.ages.get(key), interactive)
            for key in wanted
        ]
        written = list[Path]()
        for page, problems in run(partial(_write, out), work):
            written.append(page)
            if on_problem is not None:
                for problem in problems:
                    on_problem(problem)
            if on_page is not None:
                on_page(len(written), len(work))
    if cohort.series:
        written.append(write_citation(out, cohort.series))
    written.append(write_cohort_page(out, cohort))
    return written


@contextmanager
def _pool(count: int, jobs: int | None) -> Iterator[Map]:
    """Yield a map over sessions, in their order; large numbers are divided among several processes."""
    processes = min(jobs or available_threads(), count // PAGES_PER_PROCESS)
    if processes <= 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=CHUNK)


def _cohort(out: Path, sessions: Iterable[Read]) -> Cohort:
    """Return the cohort; parts that sessions have in common are kept once."""
    labels: dict[Labels, Labels] = {}
    facts: dict[str, Any] = {}
    read, means, series = [], [], []
    for one in sessions:
        means += [replace(m, labels=labels.setdefault(m.labels, m.labels)) for m in one.means]
        series += [entry.sharing(facts) for entry in one.series]
        read.append(replace(one, means=(), series=()))
    return cohort_of(
        out,
        [one.state for one in read],
        means,
        [entry for one in read for entry in one.quality],
        series,
        {one.state.key: one.time for one in read if one.time is not None},
    )


@dataclass(frozen=True)
class _Files:
    """Readable results of a session, and the problems of the others."""

    series: tuple[ReconstructedSeries, ...]
    tables: tuple[tuple[RegionTable, Means], ...]
    quality: tuple[SeriesQuality, ...]
    problems: tuple[str, ...]

    def state(self, out: Path, key: str) -> SessionState:
        """Return the state of the session: that of the ledger, or damaged."""
        state = read_state(out, key) or _state_of(key, self.series)
        if not self.problems:
            return state
        return replace(state, state="damaged", problems=(*state.problems, *self.problems))


def _load(files: ResultFiles) -> _Files:
    problems = list[str]()
    series = _readable(lambda path: read_series([path])[0], files.provenance, problems)
    series.sort(key=lambda one: (one.stem, one.kind))
    tables = _readable(_measured, files.tables, problems)
    quality = _readable(lambda one: quality_beside(one.folder, one.stem, one.kind), series, problems)
    return _Files(
        tuple(series), tuple(tables), tuple(one for one in quality if one is not None), tuple(problems)
    )


def _measured(path: Path) -> tuple[RegionTable, Means]:
    table = read_table(path)
    return table, means_of(table)


def _readable(
    read: Callable[[Source], Content], sources: Iterable[Source], problems: list[str]
) -> list[Content]:
    """Return the readable ones; the others add to the problems."""
    found = list[Content]()
    for source in sources:
        try:
            found.append(read(source))
        except InputError as error:
            problems.append(str(error))
    return found


def _read(out: Path, session: tuple[str, ResultFiles]) -> Read:
    key, files = session
    found = _load(files)
    return Read(
        found.state(out, key),
        tuple(entry.reduced(USED) for entry in found.series),
        tuple(means for _, means in found.tables),
        found.quality,
        session_time(out, found.series),
    )


def _write(out: Path, work: PageJob) -> tuple[Path, tuple[str, ...]]:
    """Write the page of a session, and that of its volumes where wanted; return the page and problems."""
    found = _load(work.files)
    volumes: Path | None = None
    if work.interactive:
        try:
            volumes = write_volume_page(out, work.key, found.series)
        except InputError as error:
            found = replace(found, problems=(*found.problems, f"no interactive page: {error}"))
    if volumes is None:
        volume_file(out, work.key).unlink(missing_ok=True)
    name, state = "" if volumes is None else volumes.name, found.state(out, work.key)
    tables, problems = [table for table, _ in found.tables], list(found.problems)
    page = write_session_page(
        out, state, found.series, tables, work.compared, age=work.age, volumes=name,
        on_problem=problems.append,
    )  # fmt: skip
    return page, tuple(dict.fromkeys(problems))


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
