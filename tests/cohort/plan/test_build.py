import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.plan import sessions
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.model import CohortPlan, Session
from qsmengine.errors import UsageError


def test_sessions_come_in_order_and_are_told_as_they_are_planned(dataset, plan):
    for subject, session in (("02", None), ("01", "b"), ("01", "a"), ("03", None)):
        dataset.gre(subject, session)
    told: list[Any] = []
    made = plan(on_session=told.append)
    assert isinstance(made, CohortPlan)
    assert [s.key for s in made.sessions] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02", "sub-03"]
    assert [s.key for s in told] == [s.key for s in made.sessions]
    assert made.runnable == made.sessions


def test_sessions_go_through_json_unchanged(dataset, plan):
    dataset.gre("01")
    dataset.dwi("01")
    for session in plan().sessions:
        assert Session.model_validate_json(session.model_dump_json()) == session


def test_what_others_have_and_a_session_lacks_is_noted(dataset, plan):
    dataset.gre("01")
    dataset.dwi("01")
    dataset.gre("02")
    dataset.dwi("03")
    first, second, third = plan().sessions
    assert first.notes == ()
    assert second.notes == ("dti: no diffusion series",)
    assert third.notes == ("qsm: no gradient-echo series with phase",)
    assert all(not step.problems for session in (first, second, third) for step in session.steps)


def test_steps_that_were_asked_for_and_are_missing_are_blocked(dataset, plan):
    dataset.gre("01")
    dataset.dwi("02")
    made = plan(steps=("dti", "qsm"))
    for session, kind in zip(made.sessions, ("dti", "qsm"), strict=True):
        (blocked,) = [step for step in session.steps if step.problems]
        assert (blocked.name, blocked.kind) == (kind, kind)
        assert session.key in blocked.problems[0]
    assert [step.kind for session in plan(steps=["qsm"]).sessions for step in session.steps] == ["qsm", "qsm"]
    blocked = [step for step in plan(steps=["qsm", "regions"]).sessions[0].steps if step.problems]
    assert [step.kind for step in blocked] == ["regions"]


def test_a_session_with_nothing_has_a_problem_of_its_own(dataset, plan):
    dataset.gre("01")
    dataset.image("sub-02/dwi/sub-02_sbref.nii.gz")
    _, second = plan().sessions
    assert second.problems == ("sub-02: no series for any step",)
    assert "sbref" in second.notes[0]
    assert plan().runnable == plan().sessions[:1]


def test_a_folder_with_files_of_another_subject_says_so(dataset, plan):
    dataset.gre("01")
    dataset.image("sub-02/anat/sub-03_part-mag_MEGRE.nii.gz")
    (problem,) = plan().sessions[1].problems
    assert problem.startswith("sub-02: no series for any step (sub-02/anat/sub-03_part-mag_MEGRE.nii.gz: ")
    assert "belongs to another subject" in problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": ["qmss"]}, "did you mean qsm"),
        ({"steps": ["regions"]}, "add qsm or dti"),
        ({"participants": ["02"]}, "02"),
        ({"participants": []}, "no label given"),
    ],
)
def test_wrong_options_are_usage_errors(dataset, plan, options, words):
    dataset.gre("01")
    with pytest.raises(UsageError, match=words):
        plan(**options)


def test_an_error_of_the_file_system_stops_one_session_alone(dataset, plan, monkeypatch):
    import qsmengine.modalities.gre.description as module

    for subject in ("01", "02", "03"):
        dataset.gre(subject)
    open_gre = cast("Any", module).open_gre

    def fail(magnitude, *arguments, **options):
        if "sub-02" in str(magnitude[0]):
            raise OSError(5, "Input/output error", str(magnitude[0]))
        return open_gre(magnitude, *arguments, **options)

    monkeypatch.setattr(module, "open_gre", fail)
    made = plan()
    assert [bool(session.problems) for session in made.sessions] == [False, True, False]
    assert made.sessions[1].problems == (
        "sub-02: sub-02/anat/sub-02_echo-1_part-mag_MEGRE.nii.gz cannot be read: Input/output error",
    )


@pytest.mark.parametrize("described", [True, False])
def test_outputs_among_the_raw_data_are_refused(dataset, config, described):
    dataset.gre("01")
    if not described:
        (dataset.root / "dataset_description.json").unlink()
    for inside in (".", "out", "sub-01/out", "derivatives/../out", "sub-01/.."):
        with pytest.raises(UsageError, match="dataset"):
            plan_cohort(dataset.root, dataset.root / inside, config)
    assert plan_cohort(dataset.root, dataset.root / "derivatives" / "qsmengine", config).runnable


def test_planning_touches_nothing(dataset, plan, tmp_path):
    dataset.gre("01")
    dataset.image("derivatives/synthseg/sub-01/sub-01_synthseg.nii.gz", labels=3)

    def state():
        return sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    before = state()
    plan()
    assert state() == before


def run(capsys, *arguments):
    code = main(["plan", *map(str, arguments), "--device", "cpu"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_sessions_and_what_is_missing(dataset, tmp_path, capsys):
    dataset.gre("01")
    dataset.gre("02", sidecars=False)
    code, out, _ = run(capsys, dataset.root, tmp_path / "out")
    assert code == 1
    lines = out.splitlines()
    assert {"sub-01", "sub-02"} <= set(lines)
    assert sum("cannot run" in line for line in lines) == 1
    assert sum("missing: sub-02/anat/" in line for line in lines) == 2
    assert lines[-1].startswith("2 sessions, 1 can run completely, 0 in part, 1 blocked; 1 steps")
    assert not (tmp_path / "out").exists()
    assert run(capsys, dataset.root, tmp_path / "out", "--participant-label", "sub-01")[0] == 0


def test_the_command_counts_the_notes_that_it_does_not_print(dataset, tmp_path, capsys):
    dataset.gre("01")
    next(dataset.root.glob("sub-01/anat/*echo-2*phase*.nii.gz")).unlink()
    code, _, err = run(capsys, dataset.root, tmp_path / "out")
    assert code == 0
    assert "more on sessions and steps" in err
    _, _, err = run(capsys, dataset.root, tmp_path / "out", "--verbose")
    assert "left out, its echo lacks another part" in err
    assert "more on sessions" not in err


def test_the_command_prints_json(dataset, tmp_path, capsys):
    for subject in ("01", "02", "03"):
        dataset.gre(subject)
        dataset.dwi(subject)
    code, out, _ = run(
        capsys, dataset.root, tmp_path / "out", "--json", "--participant_label", "01,sub-03", "--steps", "qsm"
    )
    assert code == 0
    tree = json.loads(out)
    assert [session["subject"] for session in tree["sessions"]] == ["01", "03"]
    assert [[step["kind"] for step in session["steps"]] for session in tree["sessions"]] == [["qsm"]] * 2
    assert tree["totals"]["whole"] == 2
    assert tree["settings"]["inversion"]["method"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "out"], "no such folder"),
        (["bids", "bids/out"], "inside the raw dataset"),
        (["bids", "out", "--participant-label", "O1"], "did you mean 01"),
        (["bids", "out", "--steps", "swi"], "unknown step"),
        (["bids", "out", "--bids-filter-file", "bids/participants.json"], "unknown query"),
        (["bids", "out", "--derivatives", "gone"], "no such folder"),
        (["bids", "out", "--lut", "atlas"], "label table"),
    ],
)
def test_the_command_refuses_in_one_line(dataset, tmp_path, capsys, monkeypatch, arguments, words):
    dataset.gre("01")
    dataset.put("participants.json", {"age": {}})
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert words in err


@pytest.mark.parametrize(("folder", "kinds"), [("anat", {"qsm", "vfa", "mese", "anatomy"}), ("dwi", {"dti"})])
def test_a_folder_that_cannot_be_read_blocks_what_it_may_hold_alone(dataset, plan, monkeypatch, folder, kinds):
    dataset.gre("01")
    dataset.dwi("01")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (session,) = plan().sessions
    blocked = {step.kind: step.problems for step in session.steps if step.problems}
    assert blocked == dict.fromkeys(kinds, (f"sub-01/{folder}: cannot be read: Permission denied",))
    assert {step.kind for step in session.steps} == {"qsm", "dti"} | kinds


def test_a_plan_made_in_several_processes_is_that_of_one(dataset, plan, monkeypatch):
    for number in range(3):
        dataset.gre(f"{number:02d}")
        dataset.dwi(f"{number:02d}")
    alone = plan()
    monkeypatch.setattr(sessions, "PER_PROCESS", 1)
    monkeypatch.setattr(sessions, "available_threads", lambda: 2)
    monkeypatch.setattr(sessions.Planner, "plan", None)  # this process plans nothing itself
    assert plan() == alone


def test_modalities_that_other_processes_do_not_know_are_planned_in_this_one(dataset, plan, monkeypatch, capfd):
    for number in range(3):
        dataset.gre(f"{number:02d}")
    alone = plan()
    monkeypatch.setattr(sessions, "PER_PROCESS", 1)
    monkeypatch.setattr(sessions, "available_threads", lambda: 2)
    monkeypatch.setattr(sessions, "step_names", lambda: ("toy",))
    assert plan() == alone
    assert "registered in the parent process only" in capfd.readouterr().err


def test_results_of_subjects_and_sessions_that_are_gone_are_noted(dataset, plan, tmp_path):
    dataset.gre("01", "a")
    dataset.gre("02")
    for folder in ("sub-01/ses-a", "sub-01/ses-b", "sub-02", "sub-09", "group"):
        (tmp_path / "out" / folder).mkdir(parents=True)
    (note,) = plan().notes
    assert note.startswith("the output folder holds results of sub-01/ses-b, sub-09, which the")
