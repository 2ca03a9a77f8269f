"""Steps that do not fit into memory."""

from __future__ import annotations

import pytest

from qsmengine.cohort import compute
from qsmengine.errors import OutOfMemoryError
from tests.cohort.one_session import run
from tests.cohort.small import dti_step


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
