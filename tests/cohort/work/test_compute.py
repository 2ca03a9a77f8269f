"""Steps that do not fit into memory."""

from __future__ import annotations

import weakref
from typing import Any, cast

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.backend.memory import limit_pool
from qsmengine.cohort.work import compute, execute, tasks
from qsmengine.errors import InputError, OutOfMemoryError
from qsmengine.modalities.dwi import description as dwi
from qsmengine.modalities.gre import description as gre
from tests.cohort.one_session import run
from tests.cohort.small import dti_step


def test_too_little_memory_is_met_with_slabs_and_said(bids, out, monkeypatch):
    real: Any = cast("Any", dwi).run_dti_session
    limits: list[Any] = []

    def limited(request, config, device, **more):
        limits.append(request.max_memory)
        if len(limits) == 1:
            raise OutOfMemoryError("step diffusion needs 9 GiB")
        return real(request, config, device, **more)

    monkeypatch.setattr(dwi, "run_dti_session", limited)
    step = run(bids, out, steps=(dti_step("00"),)).record.steps["dti"]
    assert step.state == "done"
    assert limits[0] is None
    assert limits[1] > 0
    assert any("9 GiB" in note for note in step.notes)
    assert "repeated in slabs" in step.notes


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [
        ("cupy.cuda.cufft", "CuFFTError", {"result": 2}),
        ("cupy_backends.cuda.api.runtime", "CUDARuntimeError", {"status": 2}),
        ("cupy_backends.cuda.libs.cublas", "CUBLASError", {"status": 3}),
        ("cupy_backends.cuda.libs.cusolver", "CUSOLVERError", {"status": 2}),
    ],
)
def test_an_allocation_that_a_library_of_cuda_fails_is_met_with_slabs(
    bids, out, monkeypatch, module, name, code
):
    real: Any = cast("Any", dwi).run_dti_session
    calls: list[Any] = []

    def limited(request, config, device, **more):
        calls.append(request.max_memory)
        if len(calls) == 1:
            error = type(name, (RuntimeError,), {"__module__": module})("allocation failed")
            vars(error).update(code)
            raise error
        return real(request, config, device, **more)

    monkeypatch.setattr(dwi, "run_dti_session", limited)
    step = run(bids, out, steps=(dti_step("00"),)).record.steps["dti"]
    assert step.state == "done"
    assert "repeated in slabs" in step.notes
    assert any("allocation failed" in note for note in step.notes)


def test_a_gpu_that_fills_up_halfway_hands_the_session_to_the_cpu(bids, out, gpu, monkeypatch):
    monkeypatch.setattr("qsmengine.modalities.gre.run.check_memory", lambda plan, device: None)
    monkeypatch.setattr("qsmengine.modalities.gre.session.check_memory", lambda plan, device: None)
    monkeypatch.setattr(execute, "limit_pool", lambda device, limit: limit_pool(device, min(limit, 1 << 20)))
    try:
        step = run(bids, out, device="cuda:0", fall_back=True).record.steps["qsm"]
    finally:
        limit_pool(gpu, 0)
    assert (step.state, step.device) == ("done", "cpu")
    assert "repeated on the CPU" in step.notes
    assert any("out of memory on cuda:0" in note for note in step.notes)


def test_an_error_that_is_not_about_memory_is_not_tried_again(bids, out, monkeypatch):
    calls = []

    def broken(request, config, device, **more):
        calls.append(device)
        raise InputError("no volume with b <= 50 s/mm^2")

    monkeypatch.setattr(dwi, "run_dti_session", broken)
    assert run(bids, out, steps=(dti_step("00"),)).record.steps["dti"].state == "failed"
    assert len(calls) == 1


def test_the_arrays_of_a_failed_try_are_given_back_before_the_next(bids, out, monkeypatch):
    seen, arrays = [], []

    def limited(request, config, device, **more):
        array = np.zeros(9)
        arrays.append(weakref.ref(array))
        raise MemoryError

    monkeypatch.setattr(dwi, "run_dti_session", limited)
    monkeypatch.setattr(compute, "free_pool", lambda device: seen.append(arrays[-1]() is None))
    place = tasks.Place(bids, out, out / "scratch", cpu(1))
    with pytest.raises(MemoryError):
        compute.run_step(dti_step("00"), place, {})
    assert seen == [True, False]  # the last error leaves with its traceback


def test_too_little_memory_for_qsm_fails_with_the_numbers(bids, out, monkeypatch):
    def broken(*_, **__):
        raise OutOfMemoryError("step inversion needs 9 GiB")

    monkeypatch.setattr(gre, "run_qsm_session", broken)
    step = run(bids, out).record.steps["qsm"]
    assert (step.state, step.reason) == ("failed", "step inversion needs 9 GiB")


def test_the_cpu_is_the_last_resort_and_only_where_it_may_be(bids, out, monkeypatch):
    class Gpu:
        kind, threads, note = "cuda", 1, ""

        def __str__(self):
            return "cuda:0"

    real: Any = cast("Any", dwi).run_dti_session
    tried: list[str] = []

    def limited(request, config, device, **more):
        tried.append(str(device))
        if device.kind == "cuda":
            raise MemoryError("out of memory allocating 9 bytes")
        return real(request, config, device, **more)

    monkeypatch.setattr(dwi, "run_dti_session", limited)
    monkeypatch.setattr(compute, "free_pool", lambda device: None)
    monkeypatch.setattr(compute, "available_memory", lambda device: 1 << 30)
    place = tasks.Place(bids, out, out / "scratch", cast("Any", Gpu()), fall_back=True)
    result = compute.run_step(dti_step("00"), place, {})
    assert tried == ["cuda:0", "cuda:0", "cpu"]
    assert result.device == "cpu"
    assert "repeated on the CPU" in result.notes
    place = tasks.Place(bids, out, out / "scratch", cast("Any", Gpu()), fall_back=False)
    with pytest.raises(MemoryError):
        compute.run_step(dti_step("00"), place, {})
