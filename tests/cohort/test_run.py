from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

import qsmengine
from qsmengine.cohort.ledger.events import Tally
from qsmengine.cohort.ledger.leases import acquire, find
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_record, write_record
from qsmengine.cohort.ledger.status import cohort_status
from qsmengine.cohort.plan.model import CohortPlan, Session, SessionRecord, StepRecord
from qsmengine.cohort.pools.base import Finished
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import SessionOutcome
from qsmengine.errors import InputError, UsageError
from tests.cohort.small import derivatives, plan_of, qsm_step, write_cohort

SERIAL = RunSettings(workers=0, device="cpu", threads=1)


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("run") / "bids", 3)


class FakePool:
    """Answers each session with what `answer` gives for it."""

    def __init__(self, answer, slots=2):
        self.answer, self._slots = answer, slots
        self.queue: deque[Any] = deque()
        self.most = self.closed = 0

    @property
    def slots(self):
        return self._slots

    def submit(self, session, options, ahead):
        self.queue.append((session, options, ahead))
        self.most = max(self.most, len(self.queue))

    def wait(self, seconds):  # noqa: ARG002
        return [self.answer(*self.queue.popleft())] if self.queue else []

    def workers(self):
        return ("fake",) * self._slots

    def close(self):
        self.closed += 1


def done(session, options, ahead=None):
    steps = {step.name: StepRecord(state="done", attempts=1) for step in session.steps}
    record = SessionRecord(session=session.key, steps=steps)
    return Finished(session, SessionOutcome(session=session.key, record=record, ran=tuple(steps)))


def fake_run(plan, answer, events=None, settings=SERIAL, **more):
    pool: Any = FakePool(answer, **more)
    on_event = None if events is None else events.append
    return run_cohort(plan, settings, on_event, make_pool=lambda *_: pool), pool


def test_all_sessions_run_and_a_second_call_does_nothing(bids, tmp_path):
    plan = plan_of(bids, tmp_path / "out", 3)
    events: list[Any] = []
    first = run_cohort(plan, SERIAL, events.append)
    assert (first.exit_code, first.count("done"), first.skipped) == (0, 3, frozenset())
    before = derivatives(tmp_path / "out")
    second = run_cohort(plan, SERIAL)
    assert (second.exit_code, len(second.skipped)) == (0, 3)
    assert derivatives(tmp_path / "out") == before
    assert events[-1].tally == Tally(3, done=3)
    assert [e.session for e in events if e.kind == "session"] == ["sub-00", "sub-01", "sub-02"]
    logs = sorted(Places(tmp_path / "out").home.glob("logs/*.jsonl"))
    lines = [json.loads(line) for line in logs[0].read_text().splitlines()]
    assert [line["event"] for line in lines].count("session") == 3


def test_bad_sessions_are_named_with_their_reasons_and_good_ones_finish(bids, tmp_path):
    good = plan_of(bids, tmp_path / "out", 1).sessions[0]
    missing = Session(subject="98", problems=("no gradient-echo series",))
    broken = qsm_step("97").model_copy(update={"problems": ("sub-97: EchoTime: not found",)})
    absent = Session(subject="96", steps=(qsm_step("96"),))
    sessions = (missing, Session(subject="97", steps=(broken,)), absent, good)
    outcome = run_cohort(CohortPlan(str(bids), str(tmp_path / "out"), sessions), SERIAL)
    assert outcome.exit_code == 1
    assert {key: record.state for key, record in outcome.records.items()} == {
        "sub-98": "blocked", "sub-97": "blocked", "sub-96": "failed", "sub-00": "done",
    }  # fmt: skip
    assert outcome.reasons["sub-98"] == ["no gradient-echo series"]
    assert "sub-97: EchoTime: not found" in outcome.reasons["sub-97"][0]
    assert outcome.reasons["sub-96"] == ["qsm: sub-96/anat/sub-96_echo-1_part-mag_MEGRE.nii.gz: no such file"]
    status = cohort_status(tmp_path / "out")
    assert status.counts == {"blocked": 2, "done": 1, "failed": 1}
    assert status.of("failed")[0].reasons == tuple(outcome.reasons["sub-96"])


def test_as_many_sessions_are_out_as_there_are_workers(tmp_path):
    sessions = tuple(Session(subject=f"{n:03d}", steps=(qsm_step("00"),)) for n in range(50))
    ahead = []

    def answer(session, options, following):
        ahead.append((session.subject, following.subject if following else None))
        return done(session, options)

    outcome, pool = fake_run(CohortPlan("b", str(tmp_path), sessions), answer, slots=3)
    assert (outcome.count("done"), pool.most, pool.closed) == (50, 3, 1)
    assert ahead[10] == ("010", "013")
    assert ahead[-1] == ("049", None)


def test_a_session_whose_worker_dies_is_begun_again_twice_and_then_failed(tmp_path):
    sessions = tuple(Session(subject=f"{n}", steps=(qsm_step("00"),)) for n in range(3))
    plan = CohortPlan("b", str(tmp_path), sessions)
    tries: list[Any] = []
    events: list[Any] = []

    def answer(session, options, _):
        if session.subject != "1":
            return done(session, options)
        tries.append(session)
        path = Places(tmp_path).claim("sub-1") / str(len(tries))
        path.parent.mkdir(parents=True, exist_ok=True)
        process = {"host": "here", "space": "", "pid": 1, "started": ""}
        path.write_text(json.dumps({"token": "t", "run": options.run, "process": process, "released": False}))
        return Finished(session, lost=True)

    outcome, _ = fake_run(plan, answer, events, settings=RunSettings(expiry=0.0))
    assert len(tries) == 3
    assert outcome.exit_code == 1
    assert outcome.reasons["sub-1"] == ["qsm: its worker was lost 3 times (killed, or out of memory)"]
    assert read_record(tmp_path, "sub-1")[0].state == "failed"
    assert [e.kind for e in events].count("retry") == 2


def test_losses_before_a_session_was_begun_do_not_count_against_it(tmp_path):
    plan, tries = CohortPlan("b", str(tmp_path), (Session(subject="1", steps=(qsm_step("00"),)),)), []

    def answer(session, options, _):
        tries.append(session)
        return Finished(session, lost=True) if len(tries) < 6 else done(session, options)

    outcome, _ = fake_run(plan, answer)
    assert outcome.exit_code == 0


def test_an_error_of_the_engine_itself_is_recorded(tmp_path):
    plan = CohortPlan("b", str(tmp_path), (Session(subject="1", steps=(qsm_step("00"),)),))
    outcome, _ = fake_run(plan, lambda session, *_: Finished(session, error="unexpected KeyError: 'x'"))
    assert outcome.reasons["sub-1"] == ["qsm: unexpected KeyError: 'x'"]


def test_the_first_failure_stops_the_run_where_that_is_wanted(bids, tmp_path):
    absent = Session(subject="96", steps=(qsm_step("96"),))
    plan = plan_of(bids, tmp_path, 3)
    sessions = (plan.sessions[0], absent, *plan.sessions[1:])
    outcome = run_cohort(
        CohortPlan(plan.bids, plan.out, sessions),
        RunSettings(workers=0, device="cpu", stop_on_first_crash=True),
    )
    assert (outcome.count("done"), outcome.count("failed"), outcome.exit_code) == (1, 1, 1)
    assert "sub-96" in outcome.stopped


def test_a_full_disk_stops_scheduling(tmp_path):
    sessions = tuple(Session(subject=f"{n:02d}", steps=(qsm_step("00"),)) for n in range(20))

    def answer(session, options, _):
        if session.subject == "03":
            return Finished(session, SessionOutcome(session=session.key, unwritable="No space left on device"))
        return done(session, options)

    outcome, _ = fake_run(CohortPlan("b", str(tmp_path), sessions), answer)
    assert outcome.exit_code == 1
    assert outcome.stopped == "disk: No space left on device"
    assert outcome.count("done") <= 4


def test_a_session_of_another_run_is_waited_for_and_its_failure_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("qsmengine.cohort.drive.PATIENCE", 0.05)
    sessions = tuple(Session(subject=f"{n}", steps=(qsm_step("00"),)) for n in range(2))
    events: list[Any] = []
    asked: list[Any] = []
    other = acquire(tmp_path, "sub-1")

    def answer(session, options, _):
        if session.subject == "1":
            asked.append(session)
            if len(asked) == 3:
                failed = StepRecord(state="failed", reason="truncated")
                write_record(tmp_path, SessionRecord(session="sub-1", steps={"qsm": failed}))
                other.release()
            return Finished(session, SessionOutcome(session="sub-1"))
        return done(session, options)

    outcome, _ = fake_run(CohortPlan("b", str(tmp_path), sessions), answer, events)
    assert outcome.reasons == {"sub-1": ["qsm: truncated"]}
    assert len(asked) == 3
    assert [e.session for e in events if e.kind == "wait"] == ["sub-1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_resumably_and_handlers_are_put_back(bids, tmp_path, number):
    plan, handler = plan_of(bids, tmp_path / "out", 3), signal.getsignal(number)

    def on_event(event):
        if event.kind == "session":
            os.kill(os.getpid(), number)

    outcome = run_cohort(plan, SERIAL, on_event)
    assert (outcome.exit_code, outcome.interrupted, outcome.count("done")) == (130, True, 1)
    assert signal.getsignal(number) is handler
    assert not any(
        not find(folder).released for folder in Places(tmp_path / "out").claims.iterdir()
    )  # fmt: skip
    second = run_cohort(plan, SERIAL)
    assert (second.exit_code, second.skipped) == (0, frozenset({"sub-00"}))


def test_results_of_another_version_are_not_mixed_unless_forced(bids, tmp_path, monkeypatch):
    plan = plan_of(bids, tmp_path / "out", 1)
    assert run_cohort(plan, SERIAL).exit_code == 0
    monkeypatch.setattr("qsmengine.version.__version__", "99.0")
    with pytest.raises(UsageError, match=r"99\.0"):
        run_cohort(plan, SERIAL)
    forced = RunSettings(workers=0, device="cpu", force=True)
    outcome = run_cohort(plan, forced)
    assert (outcome.exit_code, len(outcome.skipped)) == (0, 0)
    description = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Version"] == qsmengine.version.__version__


def test_output_that_is_the_dataset_or_a_file_is_refused(bids, tmp_path):
    with pytest.raises(UsageError, match="raw dataset"):
        run_cohort(plan_of(bids, bids, 1), SERIAL)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        run_cohort(plan_of(bids, tmp_path / "file", 1), SERIAL)


def test_an_output_that_cannot_be_written_is_told_before_any_work(bids, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr("qsmengine.cohort.run.write_shared_files", refuse)
    with pytest.raises(OSError, match="Read-only"):
        run_cohort(plan_of(bids, tmp_path / "out", 1), SERIAL)


def test_status_tells_what_runs_what_is_left_and_what_is_damaged(tmp_path):
    with pytest.raises(InputError, match="no ledger"):
        cohort_status(tmp_path)
    running = StepRecord(state="running", device="cuda:1", worker="node:1")
    for key in ("sub-1", "sub-2"):
        write_record(tmp_path, SessionRecord(session=key, steps={"qsm": running}))
    write_record(tmp_path, SessionRecord(session="sub-3"))
    Places(tmp_path).record("sub-3").write_text("{")
    with acquire(tmp_path, "sub-1"), acquire(tmp_path, "sub-4"):
        found = {session.session: session for session in cohort_status(tmp_path).sessions}
        late = {s.session: s.condition for s in cohort_status(tmp_path, expiry=-1).sessions}
    assert found["sub-1"].condition == "running"
    assert (found["sub-1"].step, found["sub-1"].device) == ("qsm", "cuda:1")
    assert found["sub-1"].silent < 30
    assert found["sub-2"].condition == "left"
    assert found["sub-3"].condition == "damaged"
    assert found["sub-4"].condition == "running"
    assert late["sub-1"] == "left"


def test_status_writes_nothing(bids, tmp_path):
    run_cohort(plan_of(bids, tmp_path / "out", 1), SERIAL)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    cohort_status(tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_two_drivers_in_one_folder_share_the_sessions(bids, tmp_path, monkeypatch):
    monkeypatch.setattr("qsmengine.cohort.drive.PATIENCE", 0.05)
    plan, outcomes = plan_of(bids, tmp_path / "out", 3), []
    threads = [threading.Thread(target=lambda: outcomes.append(run_cohort(plan, SERIAL))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [o.exit_code for o in outcomes] == [0, 0]
    ledger = [read_record(Path(plan.out), f"sub-0{n}")[0] for n in range(3)]
    assert all(step.attempts == 1 for record in ledger for step in record.steps.values())


def test_sessions_outside_the_ranges_of_quality_are_named(bids, tmp_path):
    def poor(session, options, ahead=None):
        finished = done(session, options, ahead)
        if session.key != "sub-02":
            return finished
        notes = {"notes": ("phase: taken as radians", "quality: SNR 4 (at least 10 expected)")}
        steps = {name: step.model_copy(update=notes) for name, step in finished.outcome.record.steps.items()}
        record = finished.outcome.record.model_copy(update={"steps": steps})
        return Finished(session, finished.outcome.model_copy(update={"record": record}))

    events: list[Any] = []
    outcome, _ = fake_run(plan_of(bids, tmp_path / "out", 3), poor, events)
    assert (outcome.exit_code, outcome.outside) == (0, ["sub-02"])
    texts = {event.session: event.text for event in events if event.kind == "session"}
    assert texts["sub-01"] == "sub-01: done"
    assert texts["sub-02"] == "sub-02: done; look at qsm: quality measures outside their ranges"
