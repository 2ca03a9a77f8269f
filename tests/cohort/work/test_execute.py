"""What is done again, and what is not."""

from __future__ import annotations

import json
import os
from typing import Any, cast

import pytest

from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.plan.model import REGIONS, Step
from qsmengine.cohort.work import compute, execute
from qsmengine.errors import DeviceError
from tests.cohort.one_session import attempts, run
from tests.cohort.small import derivatives, dti_step, plan_of, qsm_step


def test_what_is_done_and_unchanged_is_not_done_again(bids, out):
    first = run(bids, out)
    ledger = Places(out).record("sub-00").read_bytes()
    second = run(bids, out)
    assert (first.ran, second.ran) == (("qsm", "dti"), ())
    assert second.record == first.record
    assert second.record.state == "done"
    assert Places(out).record("sub-00").read_bytes() == ledger


def test_ledger_tells_contents_durations_memory_and_place(bids, out):
    step = run(bids, out).record.steps["dti"]
    assert set(step.inputs) >= {f"sub-00/dwi/sub-00_dwi.{end}" for end in ("nii.gz", "bval", "bvec")}
    assert "sub-00/dwi/sub-00_model-tensor_param-fa_dwimap.nii.gz" in step.outputs
    assert step.seconds > 0
    assert step.peak_memory > 1 << 20
    assert (step.device, step.attempts) == ("cpu", 1)
    assert str(os.getpid()) in step.worker


def test_a_changed_input_runs_its_step_again_and_no_other(bids, out):
    run(bids, out)
    path = bids / "sub-00/dwi/sub-00_dwi.bval"
    path.write_text(path.read_text().replace("1000", "1010"))
    assert run(bids, out).ran == ("dti",)
    assert attempts(out) == {"qsm": 1, "dti": 2}


def test_a_step_uses_what_succeeded_and_runs_again_when_more_does(bids, out, monkeypatch):
    seen = []

    def tabulate(step, place, before):
        seen.append(set(before))
        return [], []

    monkeypatch.setitem(cast("dict[str, Any]", compute.DERIVED), REGIONS, tabulate)
    table = Step(name="regions", kind=REGIONS, inputs={}, after=("dti",), uses=("qsm", "absent"))
    broken = qsm_step("00").model_copy(update={"problems": ("no phase",)})
    record = run(bids, out, steps=(broken, dti_step("00"), table)).record
    assert [record.steps[name].state for name in ("qsm", "dti", "regions")] == ["blocked", "done", "done"]
    assert run(bids, out, steps=(qsm_step("00"), dti_step("00"), table)).ran == ("qsm", "regions")
    assert seen == [{"dti"}, {"dti", "qsm"}]


def test_a_sidecar_above_that_changes_runs_its_step_again(bids, out):
    run(bids, out)
    (bids / "MEGRE.json").write_text(json.dumps({"Manufacturer": "x"}))
    assert run(bids, out).ran == ("qsm",)


def test_a_changed_configuration_replaces_results_without_leftovers(bids, out):
    run(bids, out, "relaxometry=arlo", steps=(qsm_step("00", "relaxometry=arlo"),))
    assert list(out.rglob("*R2starmap*"))
    assert run(bids, out, steps=(qsm_step("00"),)).ran == ("qsm",)
    assert not list(out.rglob("*R2starmap*"))
    assert attempts(out) == {"qsm": 2}


def test_what_a_killed_step_had_written_goes_before_another_configuration_runs(bids, out, monkeypatch):
    step = qsm_step("00", "relaxometry=arlo")
    step = step.model_copy(update={"outputs": (*step.outputs, "sub-00/anat/sub-00_R2starmap.nii.gz")})
    real = cast("Any", execute).run_step

    def killed(*arguments):
        real(*arguments)
        raise SystemExit

    monkeypatch.setattr(execute, "run_step", killed)
    with pytest.raises(SystemExit):
        run(bids, out, steps=(step,))
    monkeypatch.undo()
    assert list(out.rglob("*R2starmap.nii.gz"))
    run(bids, out, steps=(qsm_step("00"),))
    assert not list(out.rglob("*R2starmap.nii.gz"))


@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_an_output_that_is_not_as_it_was_is_made_again(bids, out, harm):
    run(bids, out)
    before = derivatives(out)
    path = out / "sub-00/anat/sub-00_Chimap.nii.gz"
    path.unlink() if harm == "removed" else path.write_bytes(b"x")
    assert run(bids, out).ran == ("qsm",)
    assert derivatives(out) == before


def test_a_damaged_ledger_means_the_session_is_done_afresh_and_noted(bids, out):
    run(bids, out)
    before = derivatives(out)
    Places(out).record("sub-00").write_text('{"session": "sub')
    outcome = run(bids, out)
    assert outcome.ran == ("qsm", "dti")
    assert "damaged" in outcome.note
    assert derivatives(out) == before


def test_force_runs_all_again_to_the_same_bytes(bids, out):
    run(bids, out)
    before = derivatives(out)
    assert run(bids, out, force=True).ran == ("qsm", "dti")
    assert derivatives(out) == before


def test_number_of_threads_and_folder_do_not_show_in_the_derivatives(bids, tmp_path):
    run(bids, tmp_path / "a", threads=1)
    run(bids, tmp_path / "b" / "c", threads=2)
    assert derivatives(tmp_path / "a") == derivatives(tmp_path / "b" / "c")


def test_inputs_are_only_read(bids, out):
    before = derivatives(bids)
    run(bids, out)
    assert derivatives(bids) == before


def test_plan_of_the_small_cohort_names_real_files(small_cohort):
    session = plan_of(small_cohort, small_cohort / "out", 1, dwi=True).sessions[0]
    assert all(
        (small_cohort / name).is_file() for step in session.steps for f in step.inputs.values() for name in f
    )


def test_a_gpu_that_cannot_be_used_is_replaced_only_where_the_user_left_the_choice(bids, out, monkeypatch):
    def unusable(spec, threads=None):
        raise DeviceError(f"device {spec} is not usable: NVRTC is missing")

    monkeypatch.setattr(execute, "resolve_device", unusable)
    steps = run(bids, out, device="cuda:1", fall_back=True).record.steps
    assert {step.state for step in steps.values()} == {"done"}
    assert {step.device for step in steps.values()} == {"cpu"}
    assert all("device cuda:1 is not usable: NVRTC is missing" in step.notes for step in steps.values())
    step = run(bids, out, device="cuda:1", fall_back=False, force=True).record.steps["qsm"]
    assert (step.state, "NVRTC is missing" in step.reason) == ("failed", True)


def test_every_session_of_a_worker_may_take_the_same_part_of_a_gpu(bids, out, gpu):
    pool = gpu.xp.get_default_memory_pool()
    limits = []
    for _ in range(3):
        assert run(bids, out, device="cuda", force=True).record.steps["dti"].device == "cuda:0"
        limits.append(pool.get_limit())
    pool.set_limit(size=0)
    assert limits[0] > 0
    assert len(set(limits)) == 1
