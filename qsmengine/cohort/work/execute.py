"""Execution of one session in a worker: changed steps in order, each outcome recorded at once."""

from __future__ import annotations

import errno
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qsmengine.backend.cuda_errors import is_device_lost
from qsmengine.backend.device import Device, cpu, resolve_device
from qsmengine.backend.memory import available_memory, limit_pool
from qsmengine.cohort.ledger.fingerprints import HashCache, fingerprint, input_hashes, outputs_intact
from qsmengine.cohort.ledger.leases import Claim, acquire
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_record, write_record
from qsmengine.cohort.plan.model import Session, SessionRecord, State, Step, StepRecord
from qsmengine.cohort.work.compute import run_step
from qsmengine.cohort.work.errors import LostClaimError, LostDeviceError, StopRequestedError
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.cohort.work.peak import PeakMemory
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import DeviceError, QsmengineError, UsageError, describe
from qsmengine.io.processes import this_process
from qsmengine.pipeline.outputs.dataset import shared_files
from qsmengine.pipeline.outputs.provenance import file_digest
from qsmengine.pipeline.outputs.staging import check_inside, clear_scratch
from qsmengine.pipeline.run.progress import Progress

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
UNWRITABLE = DISK_FULL | {errno.EROFS}
"""Errors after which no session can be written."""
SHARED = shared_files(named=True)
POOL_SHARE = 0.95
"""Fraction of a GPU's free memory that the pool may use."""


def run_session(
    session: Session,
    bids: Path,
    out: Path,
    options: Options,
    cache: HashCache | None = None,
    stop: threading.Event | None = None,
) -> SessionOutcome:
    """Run the unfinished steps of a session under a claim on it.

    A step is skipped if its fingerprint matches the ledger and its outputs are unchanged. The error of a step
    becomes its record; steps that depend on it are blocked, others continue. Setting `stop` (or the run's flag
    in the output folder) ends the session between two methods; the next run repeats the unfinished step.

    Raises
    ------
    LostDeviceError
        If a GPU is lost: the process should end, so that another one repeats the session.
    """
    start = time.perf_counter()
    worker = str(this_process())
    base = SessionOutcome(session=session.key, worker=worker)
    stop = stop or threading.Event()
    flag = Places(out).stop(options.run)

    def on_beat() -> None:
        if flag.exists():
            stop.set()

    try:
        claim = acquire(out, session.key, run=options.run, expiry=options.expiry, on_beat=on_beat)
        if claim is None:
            return base
        with claim:
            execution = _Execution(session, bids, out, options, claim, cache or HashCache(), stop)
            found = execution.run()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        found = {"unwritable": describe(error)[0]}
    except LostClaimError:
        return base
    return base.model_copy(update={**found, "seconds": time.perf_counter() - start})


class _Execution:
    """State of a session while its steps run."""

    def __init__(
        self,
        session: Session,
        bids: Path,
        out: Path,
        options: Options,
        claim: Claim,
        cache: HashCache,
        stop: threading.Event,
    ) -> None:
        self.session, self.bids, self.out, self.options = session, bids, out, options
        self.claim, self.cache, self.stop = claim, cache, stop
        self.places = Places(out)
        self.device: Device | None = None
        self.ran: list[str] = []
        self.unwritable = ""
        earlier, self.note = read_record(out, session.key)
        self.saved = earlier
        self.earlier = {} if earlier is None else dict(earlier.steps)
        self.records = {step.name: self._waiting(step) for step in session.steps}

    def run(self) -> dict[str, object]:
        """Run the steps; return fields of the outcome."""
        work = self.places.work(self.session.key)
        clear_scratch(work, self.out)  # of a killed process: nobody else writes there under this claim
        self.claim.sweep()
        stopped = False
        if not self.session.problems:
            try:
                for step in self.session.steps:
                    self._step(step)
            except StopRequestedError:
                stopped = True
        if not self.unwritable and self._record() != self.saved:
            self._save()
        clear_scratch(work, self.out)
        return {
            "record": self._record(),
            "ran": tuple(self.ran),
            "unwritable": self.unwritable,
            "stopped": stopped and not self.unwritable,
            "note": self.note,
        }

    def _waiting(self, step: Step) -> StepRecord:
        """Record of a step before its turn: a finished step stays done until its inputs are compared."""
        known = self.earlier.get(step.name)
        if known is not None and known.state == "done":
            return known
        return StepRecord(state="waiting") if known is None else _without_result(known, "waiting")

    def _step(self, step: Step) -> None:
        known = self.records[step.name]
        reason = self._obstacle(step)
        if reason:
            self.records[step.name] = _without_result(known, "blocked", reason=reason)
            return
        self._check_stop()
        try:
            inputs = input_hashes(step, self.bids, self.cache)
            device = self._device()
            before = {name: self.records[name].outputs for name in self._used(step)}
            mark = fingerprint(step, inputs, before, device.kind)
        except (QsmengineError, OSError) as error:
            self._failed(step, error, _without_result(known, "running", attempts=known.attempts + 1))
            return
        same = known.state == "done" and known.fingerprint == mark and not self.options.force
        if same and outputs_intact(self.out, known.outputs):
            return
        self._run(step, inputs, mark, device)

    def _run(self, step: Step, inputs: dict[str, str], mark: str, device: Device) -> None:
        """Compute a step and record how it went."""
        earlier = self.records[step.name].outputs
        running = self._begin(step, inputs, mark, device)
        start = time.perf_counter()
        with PeakMemory() as peak:
            try:
                result = run_step(step, self._place(device), self._before(step))
                outputs = {name: file_digest(self.out / name) for name in sorted(set(result.files))}
                self._discard(name for name in earlier if name not in outputs)
            except StopRequestedError:
                update = {"state": "waiting", "fingerprint": "", "inputs": {}}
                self.records[step.name] = running.model_copy(update=update)
                raise
            except Exception as error:
                if is_device_lost(error):
                    raise LostDeviceError(f"{device} was lost: {error}") from error
                if isinstance(error, LostClaimError):
                    raise
                with suppress(UsageError):
                    self._discard(earlier)
                self._failed(step, error, running, time.perf_counter() - start)
                return
        self.ran.append(step.name)
        self.records[step.name] = running.model_copy(
            update={
                "state": "done",
                "outputs": outputs,
                "notes": tuple(dict.fromkeys((*step.notes, *result.notes))),
                "seconds": round(time.perf_counter() - start, 3),
                "peak_memory": peak.bytes,
                "device": result.device,
            }
        )
        self._save()

    def _begin(self, step: Step, inputs: dict[str, str], mark: str, device: Device) -> StepRecord:
        """Record that a step is running, with every file that it or an earlier run may have written."""
        known = self.records[step.name]
        running = StepRecord(
            state="running",
            fingerprint=mark,
            inputs=inputs,
            outputs=dict.fromkeys((*known.outputs, *step.outputs), ""),
            device=str(device),
            worker=str(this_process()),
            attempts=known.attempts + 1,
        )
        self.records[step.name] = running
        self._save()
        return running

    def _discard(self, outputs: Iterable[str]) -> None:
        """Remove results of other inputs or another configuration that were not replaced.

        This happens after the new results are published, so that a kill never leaves old and new ones mixed.
        Files that sessions share stay.
        """
        if not self.claim.held:
            raise LostClaimError(f"{self.session.key} was taken over by another process")
        for name in outputs:
            if Path(name) in SHARED:
                continue
            check_inside(self.out, [self.out / name])
            (self.out / name).unlink(missing_ok=True)

    def _failed(self, step: Step, error: Exception, running: StepRecord, seconds: float = 0.0) -> None:
        message = describe(error)[0].replace(f"{self.bids}/", "")
        disk = isinstance(error, OSError) and error.errno in UNWRITABLE
        if disk:
            self.unwritable = message
        if message.startswith("unexpected "):
            message += f" (traceback in {self._keep_traceback(error)})"
        reason = f"disk: {message}" if disk else " ".join(message.split())
        update = {"state": "failed", "reason": reason, "seconds": round(seconds, 3)}
        self.ran.append(step.name)
        self.records[step.name] = running.model_copy(update=update)
        with suppress(OSError):
            self._save()

    def _keep_traceback(self, error: Exception) -> str:
        log = self.places.log(self.session.key)
        with suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return log.relative_to(self.out).as_posix()

    def _obstacle(self, step: Step) -> str:
        """Reason why a step cannot start; "" if it can."""
        if step.problems:
            return "; ".join(step.problems)
        lacking = [name for name in step.after if self._state(name) != "done"]
        return f"needs {', '.join(lacking)}, which did not succeed" if lacking else ""

    def _state(self, name: str) -> str:
        record = self.records.get(name)
        return "missing" if record is None else record.state

    def _before(self, step: Step) -> dict[str, tuple[str, ...]]:
        return {name: tuple(self.records[name].outputs) for name in self._used(step)}

    def _used(self, step: Step) -> list[str]:
        """Names of the steps whose results a step uses: all that it needs, and others that succeeded."""
        return [*step.after, *(name for name in step.uses if self._state(name) == "done")]

    def _check_stop(self, _: Progress | None = None) -> None:
        if self.stop.is_set() or self.unwritable:
            raise StopRequestedError

    def _device(self) -> Device:
        if self.device is None:
            self.device = self._usable_device()
            if self.device.kind == "cuda":
                limit_pool(self.device, 0)  # else the limit of an earlier session counts as available memory
                have = available_memory(self.device)
                limit_pool(self.device, int((have or 0) * POOL_SHARE))
        return self.device

    def _usable_device(self) -> Device:
        """The device asked for; the CPU, with a note, where that fails and the user left the choice."""
        try:
            return resolve_device(self.options.device, self.options.threads)
        except DeviceError as error:
            if not self.options.fall_back:
                raise
            return replace(cpu(self.options.threads), note=str(error))

    def _place(self, device: Device) -> Place:
        return Place(
            self.bids,
            self.out,
            self.places.work(self.session.key),
            device,
            fall_back=self.options.fall_back,
            memory=self.options.memory,
            progress=self._check_stop,
        )

    def _record(self) -> SessionRecord:
        return SessionRecord(session=self.session.key, steps=self.records, problems=self.session.problems)

    def _save(self) -> None:
        if not self.claim.held:
            raise LostClaimError(f"{self.session.key} was taken over by another process")
        self.saved = self._record()
        write_record(self.out, self.saved)


def _without_result(known: StepRecord, state: State, **more: object) -> StepRecord:
    """Record of a step without a valid result; files of earlier runs stay listed."""
    kept = {"attempts": known.attempts, "outputs": known.outputs}
    return StepRecord.model_validate({"state": state, **kept, **more})
