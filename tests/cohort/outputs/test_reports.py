import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import write_record
from qsmengine.cohort.outputs import reports
from qsmengine.cohort.outputs.reports import read_state, write_reports
from qsmengine.cohort.plan.model import SessionRecord, StepRecord
from qsmengine.errors import InputError, UsageError
from tests.report.results import write_session, write_table


def record(out, key, **values):
    write_record(out, SessionRecord(session=key, **values))


@pytest.fixture
def cohort(tmp_path):
    write_session(tmp_path, "sub-01")
    write_table(tmp_path, "sub-01", {"pallidum": 0.1})
    record(tmp_path, "sub-01", steps={"qsm": StepRecord(state="done", seconds=12.0, device="cuda:0")})
    record(tmp_path, "sub-02", steps={"qsm": StepRecord(state="failed", reason="phase: truncated")})
    record(tmp_path, "sub-03", problems=("no echoes",))
    return tmp_path


def test_every_session_has_a_page_whatever_became_of_it(cohort):
    written = write_reports(cohort)
    assert [p.relative_to(cohort).as_posix() for p in written] == [
        "sub-01.html", "sub-02.html", "sub-03.html", "logs/CITATION.md", "index.html",
    ]  # fmt: skip
    assert "phase: truncated" in (cohort / "sub-02.html").read_text()
    index = (cohort / "index.html").read_text()
    assert "1 failed" in index
    assert "no echoes" in index
    assert "logs/CITATION.md" in index


def test_folder_of_single_runs_needs_no_ledger(tmp_path):
    write_session(tmp_path, "sub-01_ses-1", notes=("told",))
    write_session(tmp_path, "sub-01_ses-2")
    assert {p.name for p in write_reports(tmp_path)} >= {"sub-01_ses-1.html", "sub-01_ses-2.html"}
    assert "2 done" in (tmp_path / "index.html").read_text()


def test_names_that_are_not_bids_are_reported_too(tmp_path):
    write_session(tmp_path, "", folder=".")
    write_session(tmp_path, "head", folder=".")
    assert {p.name for p in write_reports(tmp_path)} >= {"maps.html", "head.html", "index.html"}


def test_only_chosen_pages_are_written(cohort):
    written = write_reports(cohort, ["sub-02", "sub-02"])
    assert [p.name for p in written] == ["sub-02.html", "CITATION.md", "index.html"]
    with pytest.raises(UsageError, match="no session sub-09"):
        write_reports(cohort, ["sub-09"])


def test_folder_without_anything_to_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to report"):
        write_reports(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        write_reports(tmp_path / "none")


@pytest.mark.parametrize("text", ["{", '{"session": "sub-01", "steps": 3}', '{"session": "../../x"}'])
def test_damaged_ledger_is_told_on_the_pages(cohort, text):
    Places(cohort).record("sub-01").write_text(text)
    state = read_state(cohort, "sub-01")
    assert state is not None
    assert state.state == "damaged"
    write_reports(cohort)
    assert "ledger is damaged" in (cohort / "index.html").read_text()
    assert not (cohort.parent.parent / "x.html").exists()


def test_several_processes_write_the_same_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "PAGES_PER_PROCESS", 1)
    for number in range(3):
        write_session(tmp_path, f"sub-{number:02d}")
    seen = []
    alone = {p.name: p.read_bytes() for p in write_reports(tmp_path, jobs=1)}
    written = write_reports(tmp_path, jobs=2, on_page=lambda done, total: seen.append((done, total)))
    assert {p.name: p.read_bytes() for p in written} == alone
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_command_prints_the_index(cohort, capsys):
    assert main(["report", str(cohort)]) == 0
    assert capsys.readouterr().out.strip() == str(cohort / "index.html")
    assert main(["report", str(cohort / "none")]) == 3
