from __future__ import annotations

import errno
import json
import os
import shutil
import threading

import numpy as np
import pytest

from qsmengine.cohort import compute, execute
from qsmengine.cohort.claims import acquire
from qsmengine.cohort.exchange import Options
from qsmengine.cohort.execute import run_session
from qsmengine.cohort.ledger import read_record
from qsmengine.cohort.model import Session, Step
from qsmengine.cohort.places import Places
from qsmengine.errors import OutOfMemoryError
from qsmengine.io.nifti import write_image
from tests.cohort.small import ball, derivatives, dti_step, plan_of, qsm_step, write_cohort

OPTIONS = Options(run="test", device="cpu", threads=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("execute") / "bids", 1, dwi=True)


@pytest.fixture
def bids(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "bids")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(bids, out, *more, steps=None, **changes):
    steps = steps or (qsm_step("00", *more), dti_step("00"))
    return run_session(Session(subject="00", steps=steps), bids, out, OPTIONS.model_copy(update=changes))


def attempts(out):
    record, _ = read_record(out, "sub-00")
    return {name: step.attempts for name, step in record.steps.items()}


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


def test_a_failed_step_says_why_and_leaves_the_others_alone(bids, out):
    path = bids / "sub-00/anat/sub-00_echo-1_part-phase_MEGRE.nii.gz"
    path.write_bytes(path.read_bytes()[:500])
    outcome = run(bids, out)
    assert outcome.record.state == "failed"
    assert outcome.record.steps["dti"].state == "done"
    reason = outcome.record.steps["qsm"].reason
    assert path.name in reason
    assert "truncated" in reason
    assert "\n" not in reason
    assert not list((out / "sub-00").glob("anat/*"))


def test_a_step_after_a_failed_one_is_blocked_and_comes_with_the_next_run(bids, out):
    labels = bids / "labels.nii.gz"
    steps = (qsm_step("00"), table_step("labels.nii.gz"))
    good = bids / "sub-00/anat/sub-00_echo-1_part-phase_MEGRE.nii.gz"
    write_image(labels, np.where(ball(0).mask, 11, 0).astype(np.int16), ball(0).series.grid)
    content = good.read_bytes()
    good.write_bytes(content[:500])
    record = run(bids, out, steps=steps).record
    assert record.steps["regions"].state == "blocked"
    assert "qsm" in record.steps["regions"].reason
    good.write_bytes(content)
    record = run(bids, out, steps=steps).record
    assert record.state == "done"
    text = (out / "sub-00/anat/sub-00_desc-dgm_stats.tsv").read_text()
    assert "chi_mean" in text.splitlines()[0]
    assert run(bids, out, steps=steps).ran == ()
    assert run(bids, out, steps=(qsm_step("00", "inversion.threshold=0.12"), steps[1])).ran == (
        "qsm",
        "regions",
    )


def table_step(labels: str) -> Step:
    stem = "sub-00/anat/sub-00_desc-dgm_stats"
    return Step(
        name="regions",
        kind="regions",
        inputs={"labels": (labels,)},
        outputs=(f"{stem}.tsv", f"{stem}.json"),
        after=("qsm",),
        options={"lut": "synthseg"},
    )


def test_known_problems_block_a_step_without_work(bids, out):
    blocked = qsm_step("00").model_copy(update={"problems": ("sub-00: EchoTime: not found",)})
    record = run(bids, out, steps=(blocked, dti_step("00"))).record
    assert record.state == "blocked"
    assert record.steps["qsm"].reason == "sub-00: EchoTime: not found"
    assert record.steps["dti"].state == "done"


def test_an_unexpected_error_keeps_its_traceback(bids, out, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(execute, "run_step", broken)
    reason = run(bids, out).record.steps["qsm"].reason
    assert "ZeroDivisionError: by chance" in reason
    assert "in broken" in Places(out).log("sub-00").read_text()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_stops_the_session_and_leaves_it_resumable(bids, out, monkeypatch, code):
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(1)
        if len(calls) > 12:
            raise OSError(code, os.strerror(code), "somewhere")
        real(descriptor)

    run(bids, out.with_name("whole"))
    monkeypatch.setattr(os, "fsync", fsync)
    outcome = run(bids, out)
    assert os.strerror(code) in outcome.unwritable
    assert outcome.record.steps["qsm"].reason.startswith("disk: ")
    assert outcome.record.steps["dti"].state == "waiting"
    monkeypatch.undo()
    assert not list(out.rglob("*.nii.gz"))
    assert run(bids, out).record.state == "done"
    assert derivatives(out) == derivatives(out.with_name("whole"))


def test_no_claim_can_be_made_on_a_full_disk(bids, out, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "claims")

    monkeypatch.setattr("qsmengine.cohort.claims._temporary", full)
    outcome = run(bids, out)
    assert outcome.record is None
    assert "No space left" in outcome.unwritable


def test_a_session_held_elsewhere_is_left_alone(bids, out):
    with acquire(out, "sub-00"):
        outcome = run(bids, out)
    assert outcome.record is None
    assert not outcome.unwritable
    assert not derivatives(out)


def test_who_lost_the_session_writes_no_ledger(bids, out, monkeypatch):
    real = execute.run_step

    def slow(step, *arguments):
        path = max(Places(out).claim("sub-00").iterdir(), key=lambda p: p.name)
        path.with_name("7").write_text(json.dumps({"token": "other"}))
        return real(step, *arguments)

    monkeypatch.setattr(execute, "run_step", slow)
    assert run(bids, out).record is None
    assert read_record(out, "sub-00")[0].steps["qsm"].state == "running"


def test_a_stop_leaves_the_rest_waiting_and_nothing_half_written(bids, out, monkeypatch):
    stop, real = threading.Event(), execute.run_step

    def then_stop(step, *arguments):
        result = real(step, *arguments)
        stop.set()
        return result

    monkeypatch.setattr(execute, "run_step", then_stop)
    session = Session(subject="00", steps=(qsm_step("00"), dti_step("00")))
    outcome = run_session(session, bids, out, OPTIONS, stop=stop)
    assert outcome.stopped
    assert [step.state for step in outcome.record.steps.values()] == ["done", "waiting"]
    monkeypatch.undo()
    assert run(bids, out).ran == ("dti",)


def test_the_flag_of_a_run_ends_a_step_under_way(bids, out, monkeypatch):
    flag = Places(out).stop(OPTIONS.run)
    flag.parent.mkdir(parents=True)
    flag.touch()
    real = execute.run_step

    def wait(step, place, before):
        for _ in range(200):
            place.progress(None)
            threading.Event().wait(0.05)
        return real(step, place, before)

    monkeypatch.setattr(execute, "run_step", wait)
    assert run(bids, out, expiry=0.6).stopped


def test_what_a_killed_process_left_is_swept(bids, out):
    work = Places(out).work("sub-00") / ".out.x.tmp"
    work.mkdir(parents=True)
    (work / "part.nii.gz").write_text("x")
    run(bids, out)
    assert not work.parent.exists()
    assert not list(out.rglob("*.tmp"))


def test_too_little_memory_is_met_with_slabs_and_said(bids, out, monkeypatch):
    real, limits = compute.run_dti_session, []

    def limited(request, config, device, **more):
        limits.append(request.max_memory)
        if len(limits) == 1:
            raise OutOfMemoryError("step diffusion needs 9 GiB")
        return real(request, config, device, **more)

    monkeypatch.setattr(compute, "run_dti_session", limited)
    step = run(bids, out, steps=(dti_step("00"),)).record.steps["dti"]
    assert step.state == "done"
    assert limits[0] is None
    assert limits[1] > 0
    assert any("9 GiB" in note for note in step.notes)
    assert "repeated in slabs" in step.notes


def test_too_little_memory_for_qsm_fails_with_the_numbers(bids, out, monkeypatch):
    def broken(*_, **__):
        raise OutOfMemoryError("step inversion needs 9 GiB")

    monkeypatch.setattr(compute, "run_qsm_session", broken)
    step = run(bids, out).record.steps["qsm"]
    assert (step.state, step.reason) == ("failed", "step inversion needs 9 GiB")


def test_the_cpu_is_the_last_resort_and_only_where_it_may_be(bids, out, monkeypatch):
    class Gpu:
        kind, threads = "cuda", 1

        def __str__(self):
            return "cuda:0"

    real, tried = compute.run_dti_session, []

    def limited(request, config, device, **more):
        tried.append(str(device))
        if device.kind == "cuda":
            raise MemoryError("out of memory allocating 9 bytes")
        return real(request, config, device, **more)

    monkeypatch.setattr(compute, "run_dti_session", limited)
    monkeypatch.setattr(compute, "free_pool", lambda device: None)
    monkeypatch.setattr(compute, "available_memory", lambda device: 1 << 30)
    place = compute.Place(bids, out, out / "scratch", Gpu(), fall_back=True)
    result = compute.run_step(dti_step("00"), place, {})
    assert tried == ["cuda:0", "cuda:0", "cpu"]
    assert result.device == "cpu"
    assert "repeated on the CPU" in result.notes
    place = compute.Place(bids, out, out / "scratch", Gpu(), fall_back=False)
    with pytest.raises(MemoryError):
        compute.run_step(dti_step("00"), place, {})


def test_a_lost_gpu_ends_the_process_and_not_the_session(bids, out, monkeypatch):
    lost = type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api.runtime"})

    def broken(*_):
        raise lost("cudaErrorECCUncorrectable")

    monkeypatch.setattr(execute, "run_step", broken)
    with pytest.raises(execute.LostDeviceError, match="ECC"):
        run(bids, out)
    assert read_record(out, "sub-00")[0].steps["qsm"].state == "running"
    monkeypatch.undo()
    assert run(bids, out).record.state == "done"


def test_inputs_are_only_read(bids, out):
    before = derivatives(bids)
    run(bids, out)
    assert derivatives(bids) == before


def test_plan_of_the_small_cohort_names_real_files(dataset):
    session = plan_of(dataset, dataset / "out", 1, dwi=True).sessions[0]
    assert all((dataset / name).is_file() for step in session.steps for f in step.inputs.values() for name in f)
