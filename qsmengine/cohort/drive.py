"""The loop that sends sessions to workers and collects their outcomes."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from pathlib import Path

from qsmengine.cohort.ledger.events import Event, EventKind, OnEvent, Tally
from qsmengine.cohort.ledger.leases import acquire, find
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_record, write_record
from qsmengine.cohort.plan.model import (
    CohortPlan,
    Session,
    SessionRecord,
    StepRecord,
    outside_ranges,
    reasons_of,
)
from qsmengine.cohort.pools.base import Finished, Pool
from qsmengine.cohort.work.exchange import Options, SessionOutcome

BEAT = 0.5
"""Interval between checks of the workers [s]."""
RETRIES = 2
"""Number of retries for a session whose worker was lost after it had begun the session."""
MOST_LOSSES = 10
"""Number of times that a session may lose its worker before the session has begun."""
LONELY = 60.0
"""Delay before warning that no worker is available [s]."""
PATIENCE = 2.0
"""Delay before retrying a session that another process holds [s]."""


@dataclass
class Findings:
    """Findings of a run.

    Parameters
    ----------
    records
        Record of each session that returned.
    skipped
        Sessions that were already done.
    stopped
        Reason why no more sessions were begun; "" if all were.
    """

    records: dict[str, SessionRecord] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    stopped: str = ""


class Driver:
    """Keeps every worker busy with one session until all have returned or the run must end.

    Sessions do not queue at a worker. The session of a worker that dies is therefore known to be the cause,
    and a run of thousands of sessions holds only the few in progress.
    """

    def __init__(
        self,
        plan: CohortPlan,
        pool: Pool,
        options: Options,
        on_event: OnEvent,
        stop: threading.Event,
        *,
        stop_on_first_crash: bool = False,
    ) -> None:
        self._plan, self._pool, self._options = plan, pool, options
        self._on_event, self._stop = on_event, stop
        self._fragile = stop_on_first_crash
        self._out = Path(plan.out)
        self._waiting = deque(plan.runnable)
        self._deferred: list[tuple[float, Session]] = []
        self._attended = time.monotonic()
        self._first_seen: dict[str, SessionRecord | None] = {}
        self._active: dict[str, Session] = {}
        self._losses: Counter[str] = Counter()
        self._early: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        self.findings = Findings()
        self._tally = Tally(len(plan.sessions))

    def run(self) -> Findings:
        """Run until no session is left; return the findings."""
        self._record_blocked()
        while self._waiting or self._deferred or self._active:
            if self._stop.is_set() or self.findings.stopped:
                break
            self._take_up_deferred()
            self._fill()
            for finished in self._pool.wait(BEAT):
                self._take(finished)
            self._look_for_workers()
            self._emit("beat", "", facts={"workers": self._pool.workers(), "active": tuple(self._active)})
        self._drain()
        return self.findings

    def emit(self, kind: EventKind, text: str, session: str = "", **facts: object) -> None:
        """Pass an event on."""
        self._emit(kind, text, session, facts)

    def _emit(
        self, kind: EventKind, text: str, session: str = "", facts: dict[str, object] | None = None
    ) -> None:
        tally = replace(self._tally, active=len(self._active))
        self._on_event(Event(kind, text, tally, session, facts or {}))

    def _record_blocked(self) -> None:
        """Record sessions in which no step can run."""
        runnable = {session.key for session in self._plan.runnable}
        for session in self._plan.sessions:
            if session.key in runnable:
                continue
            steps = {
                step.name: StepRecord(state="blocked", reason="; ".join(step.problems))
                for step in session.steps
                if step.problems
            }
            problems = session.problems or (() if steps else ("nothing to do",))
            self._keep(SessionRecord(session=session.key, steps=steps, problems=problems))

    def _keep(self, record: SessionRecord) -> None:
        """Write a record that was made here, not by a worker, unless another process holds the session."""
        known, _ = read_record(self._out, record.session)
        if known != record:
            claim = acquire(self._out, record.session, run=self._options.run, expiry=self._options.expiry)
            if claim is not None:
                with claim:
                    write_record(self._out, record)
        self._finish(record, skipped=False)

    def _fill(self) -> None:
        while self._waiting and len(self._active) < self._pool.slots:
            session = self._waiting.popleft()
            ahead = min(self._pool.slots - 1, len(self._waiting) - 1)
            self._active[session.key] = session
            self._pool.submit(session, self._options, self._waiting[ahead] if self._waiting else None)
            self._emit("submit", "", session.key)

    def _take(self, finished: Finished) -> None:
        session = finished.session
        self._active.pop(session.key, None)
        outcome = finished.outcome
        if finished.note:
            self._emit("note", finished.note, session.key)
        if outcome is None:
            if finished.returned:
                self._waiting.appendleft(session)
            elif finished.lost:
                self._retry(session)
            else:
                self._broken(session, finished.error)
            return
        if outcome.unwritable:
            self.findings.stopped = f"disk: {outcome.unwritable}"
        if outcome.stopped:
            return
        if outcome.record is None:
            if not outcome.unwritable:
                self._defer(session)
            return
        if outcome.note:
            self._emit("note", f"{session.key}: {outcome.note}", session.key)
        self._finish(outcome.record, skipped=not outcome.ran, outcome=outcome)

    def _defer(self, session: Session) -> None:
        """Postpone a session that another process holds."""
        if session.key not in self._first_seen:
            self._first_seen[session.key] = read_record(self._out, session.key)[0]
            holder = find(Places(self._out).claim(session.key))
            owner = holder.owner if holder is not None else None
            self._emit("wait", f"{session.key} is held by {owner or 'another process'}", session.key)
        self._deferred.append((time.monotonic() + PATIENCE, session))

    def _take_up_deferred(self) -> None:
        """Queue postponed sessions that are due, or adopt the record that another run has written."""
        now = time.monotonic()
        due = [session for when, session in self._deferred if when <= now]
        self._deferred = [(when, session) for when, session in self._deferred if when > now]
        for session in due:
            holder = find(Places(self._out).claim(session.key))
            record, _ = read_record(self._out, session.key)
            ended = holder is not None and holder.released and record != self._first_seen[session.key]
            if ended and record is not None and record.state in {"failed", "blocked"}:
                self._finish(record, skipped=True)
            else:
                self._waiting.appendleft(session)

    def _retry(self, session: Session) -> None:
        """Queue a session again after the loss of its worker, up to the permitted number of times."""
        key = session.key
        claim = find(Places(self._out).claim(key))
        begun = claim is not None and not claim.released and claim.run == self._options.run
        number = claim.number if claim is not None and begun else 0
        begun = number > self._begun[key]
        self._begun[key] = max(number, self._begun[key])
        losses = self._losses if begun else self._early
        losses[key] += 1
        if self._losses[key] > RETRIES or self._early[key] > MOST_LOSSES:
            self._broken(session, f"its worker was lost {losses[key]} times (killed, or out of memory)")
            return
        self._emit("retry", f"{key}: its worker was lost; it is started again", key)
        self._waiting.appendleft(session)

    def _broken(self, session: Session, reason: str) -> None:
        """Record a session whose workers died or that caused an internal error."""
        known, _ = read_record(self._out, session.key)
        before = {} if known is None else dict(known.steps)
        begun = StepRecord(state="running")
        known_steps = {step.name: before.get(step.name, begun) for step in session.steps}
        steps = {
            name: step
            if step.state in {"done", "failed", "blocked"}
            else step.model_copy(update={"state": "failed", "reason": reason})
            for name, step in known_steps.items()
        }
        self._keep(SessionRecord(session=session.key, steps=steps))

    def _finish(self, record: SessionRecord, *, skipped: bool, outcome: SessionOutcome | None = None) -> None:
        key, state = record.session, record.state
        self.findings.records[key] = record
        counts = {"done": 0, "failed": 0, "blocked": 0}
        counts["done" if state == "done" else "blocked" if state == "blocked" else "failed"] = 1
        was_done = skipped and state == "done"
        if was_done:
            self.findings.skipped.add(key)
        t = self._tally
        self._tally = replace(
            t,
            done=t.done + counts["done"],
            failed=t.failed + counts["failed"],
            blocked=t.blocked + counts["blocked"],
            skipped=t.skipped + was_done,
        )
        facts: dict[str, object] = {"state": state, "skipped": was_done}
        if outcome is not None:
            facts |= {"seconds": round(outcome.seconds, 2), "worker": outcome.worker}
        reasons = reasons_of(record)
        if reasons:
            facts["reasons"] = reasons
        outside = outside_ranges(record)
        if outside:
            facts["outside_ranges"] = outside
        note = [f"look at {', '.join(outside)}: quality measures outside their ranges"] if outside else []
        text = "; ".join([f"{key}: {'already done' if was_done else state}", *reasons, *note])
        self._emit("session", text, key, facts)
        if self._fragile and state == "failed":
            self.findings.stopped = f"{key} failed, and the run stops at the first failure"

    def _look_for_workers(self) -> None:
        """Warn once a minute that no worker is available."""
        now = time.monotonic()
        if self._pool.workers():
            self._attended = now
        elif now - self._attended > LONELY:
            self._attended = now
            self._emit("note", f"no worker has been available for {LONELY:.0f} s; still waiting")

    def _drain(self) -> None:
        """After a stop, collect the sessions that have ended; the pool ends those in progress."""
        if self._active and self.findings.stopped and not self._stop.is_set():
            deadline = time.monotonic() + PATIENCE
            while self._active and time.monotonic() < deadline:
                for finished in self._pool.wait(BEAT):
                    self._take(finished)
