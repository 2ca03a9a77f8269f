import sys

from rich.console import Console

from qsmengine.cli.display.cohort import CohortView
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cohort.ledger.events import Event, Tally
from qsmengine.cohort.ledger.leases import acquire
from qsmengine.cohort.ledger.records import write_record
from qsmengine.cohort.plan.model import SessionRecord, StepRecord
from qsmengine.cohort.run import CohortOutcome


def test_terminal_shows_counts_rate_and_where_each_session_runs(tmp_path, monkeypatch):
    running = StepRecord(state="running", device="cuda:1", worker="node7:1")
    write_record(tmp_path, SessionRecord(session="sub-02", steps={"qsm": running}))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tally = Tally(10, done=3, skipped=1, failed=1, blocked=1)
    with acquire(tmp_path, "sub-02"), CohortView(Reporter()) as view:
        view.on_event(Event("begin", "10 sessions", tally, facts={"out": str(tmp_path)}))
        view.on_event(Event("beat", "", tally, facts={"active": ("sub-02", "sub-03")}))
        console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
        console.print(view._draw(tally))
        console.file.close()
    text = console.export_text()
    assert "5/10" in text
    assert "3 done" in text
    assert "1 failed" in text
    assert "per hour" in text
    assert "sub-02  qsm (cuda:1)" in text


def test_plain_lines_tell_each_session_once_with_its_reason(capsys):
    tally = Tally(2, done=1, failed=1)
    facts = {"state": "failed", "seconds": 2.0}
    with CohortView(Reporter()) as view:
        view.on_event(Event("beat", "", tally))
        view.on_event(Event("session", "sub-1: failed; qsm: truncated", tally, "sub-1", facts))
        view.on_event(Event("retry", "sub-2: its worker was lost; it is started again", tally, "sub-2"))
    assert capsys.readouterr().err.splitlines() == [
        "[2/2] sub-1: failed; qsm: truncated (2.0 s)",
        "note: sub-2: its worker was lost; it is started again",
    ]


def test_summary_counts_what_was_not_finished(capsys):
    done = SessionRecord(session="sub-1", steps={"qsm": StepRecord(state="done")})
    outcome = CohortOutcome(
        {"sub-1": done}, 3, frozenset({"sub-1"}), "disk: full", interrupted=False, seconds=3725
    )
    CohortView(Reporter()).summary(outcome)
    shown = capsys.readouterr()
    assert shown.out.strip() == "3 sessions in 1:02:05: 1 done, 2 not finished (1 already done)"
    assert "disk: full" in shown.err
