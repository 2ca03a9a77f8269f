"""Processing of a cohort, from its plan to its derivatives."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from qsmengine import version
from qsmengine.cohort.drive import Driver, Findings
from qsmengine.cohort.ledger.events import Event, EventLog, OnEvent
from qsmengine.cohort.ledger.leases import release_gone
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.sweep import remove_leftovers
from qsmengine.cohort.plan.model import CohortPlan, SessionRecord, outside_ranges, reasons_of
from qsmengine.cohort.pools.base import Pool, PoolMaker, SerialPool
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options
from qsmengine.errors import UsageError
from qsmengine.io.sidecars import read_json
from qsmengine.modalities.registry import ignored
from qsmengine.pipeline.outputs.dataset import raw_dataset, write_shared_files
from qsmengine.pipeline.outputs.staging import check_output

INTERRUPTED = 130


@dataclass(frozen=True)
class CohortOutcome:
    """Outcome of a cohort run.

    Parameters
    ----------
    records
        Record of each session that ended.
    total
        Number of sessions in the plan.
    skipped
        Sessions that were already done.
    stopped
        Reason why the run ended early; "" if it did not.
    interrupted
        Whether a signal ended the run.
    seconds
        Wall time [s].
    """

    records: Mapping[str, SessionRecord]
    total: int
    skipped: frozenset[str] = frozenset()
    stopped: str = ""
    interrupted: bool = False
    seconds: float = 0.0
    reasons: Mapping[str, list[str]] = field(default_factory=dict)

    def count(self, state: str) -> int:
        """Return the sessions in a state of the ledger."""
        return sum(record.state == state for record in self.records.values())

    @property
    def outside(self) -> list[str]:
        """Sessions with a quality measure outside its range, see :mod:`qsmengine.modalities.quality`."""
        return sorted(key for key, record in self.records.items() if outside_ranges(record))

    @property
    def exit_code(self) -> int:
        """0 if all are done, 1 if some failed, are blocked or were left out, 130 if interrupted."""
        if self.interrupted:
            return INTERRUPTED
        return 0 if self.count("done") == self.total and not self.stopped else 1


def run_cohort(
    plan: CohortPlan,
    settings: RunSettings,
    on_event: OnEvent | None = None,
    *,
    make_pool: PoolMaker | None = None,
) -> CohortOutcome:
    """Process the cohort's unfinished sessions; after SIGINT or SIGTERM a later call resumes.

    Parameters
    ----------
    plan
        Sessions and folders.
    settings
        Workers and their options.
    on_event
        Called with every event, from this thread.
    make_pool
        Makes the workers, instead of those that the settings name.

    Raises
    ------
    UsageError
        Before any work, if the output folder is a file, lies in the raw dataset, or holds results of another
        version (without force).
    DeviceError
        If the workers are not available.
    OSError
        If the output folder cannot be written.
    """
    out = Path(plan.out)
    prepare_output(out, plan.bids, force=settings.force)
    options = Options(
        run=_run_name(),
        device=settings.device,
        threads=settings.threads,
        force=settings.force,
        expiry=settings.expiry,
        fall_back=settings.device == "auto",
    )
    places, start = Places(out), time.perf_counter()
    log = EventLog(places.events(options.run))

    def emit(event: Event) -> None:
        log.write(event)
        if on_event is not None:
            on_event(event)

    with stop_on_signals() as stop:
        pool, options = _pool(plan, settings, options, make_pool, stop)
        driver = Driver(
            plan, pool, options, emit, stop, stop_on_first_crash=settings.stop_on_first_crash
        )  # fmt: skip
        try:
            text = f"{len(plan.sessions)} sessions, {len(pool.workers())} workers"
            driver.emit("begin", text, run=options.run, out=plan.out, workers=pool.workers())
            if settings.dashboard:
                driver.emit("note", f"Dask's dashboard: {pool.link}")
            findings = driver.run()
        finally:
            if stop.is_set() or driver.findings.stopped:
                _raise_flag(places.stop(options.run))
            pool.close()
            release_gone(out, options.run)
            with suppress(OSError):
                remove_leftovers(out, run=options.run, expiry=settings.expiry)
            with suppress(OSError):
                places.stop(options.run).unlink(missing_ok=True)
        outcome = _outcome(plan, findings, interrupted=stop.is_set(), seconds=time.perf_counter() - start)
        driver.emit("end", outcome.stopped, interrupted=outcome.interrupted, seconds=round(outcome.seconds, 1))
    return outcome


def prepare_output(out: Path, bids: str | Path, *, force: bool = False) -> None:
    """Prepare the output folder as a dataset of this version; raises the errors of :func:`run_cohort`."""
    check_output(out, [Places(out).sessions], [], force=True)
    description = out / "dataset_description.json"
    if description.is_file():
        generated = read_json(description).get("GeneratedBy") or [{}]
        entries = (
            [entry for entry in generated if isinstance(entry, dict)] if isinstance(generated, list) else []
        )
        found = next((e.get("Version") for e in entries if e.get("Name") == "qsmengine"), None)
        if found in {version.__version__, None}:
            return
        if not force:
            raise UsageError(
                f"{out} holds results of qsmengine {found}, but this is {version.__version__}; "
                "choose another folder, or recompute everything with --force"
            )
    write_shared_files(out, out, raw_dataset(Path(bids) / "any"), ignored, named=True, replace=True)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; a second signal raises KeyboardInterrupt."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _pool(
    plan: CohortPlan,
    settings: RunSettings,
    options: Options,
    make_pool: PoolMaker | None,
    stop: threading.Event,
) -> tuple[Pool, Options]:
    if make_pool is not None:
        return make_pool(plan, stop), options
    if settings.dashboard and (settings.workers == 0 or settings.scheduler is not None):
        raise UsageError("--dashboard is for workers that this run starts")
    if settings.workers == 0:
        return SerialPool(plan, stop), options.model_copy(update={"memory": settings.memory})
    from qsmengine.cohort.pools.cluster import open_pool

    return open_pool(plan, settings, options)


def _outcome(plan: CohortPlan, findings: Findings, *, interrupted: bool, seconds: float) -> CohortOutcome:
    records = findings.records
    reasons = {key: reasons_of(record) for key, record in records.items() if record.state != "done"}
    return CohortOutcome(
        records=records,
        total=len(plan.sessions),
        skipped=frozenset(findings.skipped),
        stopped=findings.stopped,
        interrupted=interrupted,
        seconds=seconds,
        reasons=reasons,
    )


def _raise_flag(path: Path) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _run_name() -> str:
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(3)}"
