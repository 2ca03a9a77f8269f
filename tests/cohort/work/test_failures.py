"""What becomes of a session whose steps fail, whose run ends, whose disk or GPU is gone."""

from __future__ import annotations

import errno
import json
import os
import threading
from typing import Any, cast

import numpy as np
import pytest

from qsmengine.cohort.ledger.leases import acquire
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.model import Session, Step
from qsmengine.cohort.work import execute
from qsmengine.cohort.work.errors import LostDeviceError
from qsmengine.cohort.work.execute import run_session
from qsmengine.io.nifti import write_image
from tests.cohort.one_session import OPTIONS, run
from tests.cohort.small import ball, derivatives, dti_step, qsm_step


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

    monkeypatch.setattr("qsmengine.cohort.ledger.leases._temporary", full)
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
    real = cast("Any", execute).run_step

    def slow(step, *arguments):
        path = max(Places(out).claim("sub-00").iterdir(), key=lambda p: p.name)
        path.with_name("7").write_text(json.dumps({"token": "other"}))
        return real(step, *arguments)

    monkeypatch.setattr(execute, "run_step", slow)
    assert run(bids, out).record is None
    assert read_record(out, "sub-00")[0].steps["qsm"].state == "running"


def test_a_stop_leaves_the_rest_waiting_and_nothing_half_written(bids, out, monkeypatch):
    stop, real = threading.Event(), cast("Any", execute).run_step

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
    real = cast("Any", execute).run_step

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


def test_a_lost_gpu_ends_the_process_and_not_the_session(bids, out, monkeypatch):
    lost = type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api.runtime"})

    def broken(*_):
        error = lost("cudaErrorECCUncorrectable: uncorrectable ECC error encountered")
        error.status = 214
        raise error

    monkeypatch.setattr(execute, "run_step", broken)
    with pytest.raises(LostDeviceError, match="ECC"):
        run(bids, out)
    assert read_record(out, "sub-00")[0].steps["qsm"].state == "running"
    monkeypatch.undo()
    assert run(bids, out).record.state == "done"


def test_a_failed_call_of_cuda_is_an_error_of_its_step_alone(bids, out, monkeypatch):
    refused = type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api.runtime"})
    real = cast("Any", execute).run_step

    def broken(step, place, before):
        if step.kind == "dti":
            return real(step, place, before)
        error = refused("cudaErrorInvalidValue: invalid argument")
        error.status = 1
        raise error

    monkeypatch.setattr(execute, "run_step", broken)
    steps = run(bids, out).record.steps
    assert (steps["qsm"].state, steps["dti"].state) == ("failed", "done")
    assert "cudaErrorInvalidValue" in steps["qsm"].reason
