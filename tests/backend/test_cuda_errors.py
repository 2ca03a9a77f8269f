"""CUDA's errors: which of them lose the device, and which are about memory."""

import numpy as np
import pytest

from qsmengine.backend.cuda_errors import LOST, is_device_lost, is_out_of_memory, memory_errors
from qsmengine.backend.device import cpu
from qsmengine.backend.memory import available_memory, free_pool, limit_pool
from qsmengine.errors import DeviceError, InputError, OutOfMemoryError
from qsmengine.grid import Grid
from qsmengine.stages.registry import get_method

RUNTIME = "cupy_backends.cuda.api.runtime", "CUDARuntimeError"
DRIVER = "cupy_backends.cuda.api.driver", "CUDADriverError"
FFT = "cupy.cuda.cufft", "CuFFTError"


def cuda_error(module, name, **code):
    """Return an exception like CuPy's: module and name identify its class, a number its cause."""
    error = type(name, (RuntimeError,), {"__module__": module})("CUDA says no")
    vars(error).update(code)
    return error


@pytest.mark.parametrize("kind", [RUNTIME, DRIVER])
@pytest.mark.parametrize("code", [214, 700, 702, 710, 714, 716, 718, 719, 999])
def test_errors_that_end_the_context_lose_the_device(kind, code):
    assert code in LOST
    assert is_device_lost(cuda_error(*kind, status=code))
    assert not is_out_of_memory(cuda_error(*kind, status=code))


@pytest.mark.parametrize("kind", [RUNTIME, DRIVER])
@pytest.mark.parametrize("code", [1, 2, 46, 98, 100, 101, 200, 201, 209, 400, 500, 600, 701, 801, 900, 901])
def test_errors_of_one_call_do_not(kind, code):
    assert not is_device_lost(cuda_error(*kind, status=code))


def test_numbers_of_other_libraries_are_not_those_of_cuda():
    assert not is_device_lost(cuda_error(*FFT, result=214))
    assert not is_device_lost(cuda_error("elsewhere", "CUDARuntimeError", status=700))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("step inversion needs 9 GiB"),
        type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})("512 bytes"),
        cuda_error(*RUNTIME, status=2),
        cuda_error(*DRIVER, status=2),
        cuda_error(*FFT, result=2),
        cuda_error("cupy_backends.cuda.libs.cublas", "CUBLASError", status=3),
        cuda_error("cupy_backends.cuda.libs.cusolver", "CUSOLVERError", status=2),
        cuda_error("cupy_backends.cuda.libs.cusparse", "CuSparseError", status=2),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_failed_allocations_of_every_library_are_told(error):
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        cuda_error(*FFT, result=6),
        cuda_error("cupy_backends.cuda.libs.cublas", "CUBLASError", status=2),
        cuda_error("elsewhere", "CuFFTError", result=2),
        InputError("shape"),
        DeviceError("no GPU"),
    ],
    ids=str,
)
def test_other_errors_are_not_about_memory(error):
    assert not is_out_of_memory(error)


def test_the_cause_of_an_error_counts():
    lost = DeviceError("the step failed")
    lost.__cause__ = cuda_error(*RUNTIME, status=719)
    full = InputError("no plan")
    full.__cause__ = cuda_error(*FFT, result=2)
    assert (is_device_lost(lost), is_out_of_memory(lost)) == (True, False)
    assert (is_device_lost(full), is_out_of_memory(full)) == (False, True)


def test_a_failed_allocation_becomes_one_error_that_names_task_and_device():
    with (
        pytest.raises(OutOfMemoryError, match=r"^inversion method tkd: out of memory on cpu \(CUDA says no\)$"),
        memory_errors("inversion method tkd", cpu()),
    ):
        raise cuda_error(*FFT, result=2)
    with pytest.raises(InputError), memory_errors("inversion method tkd", cpu()):
        raise InputError("shape")
    known = OutOfMemoryError("step inversion needs 9 GiB")
    with pytest.raises(OutOfMemoryError) as caught, memory_errors("inversion method tkd", cpu()):
        raise known
    assert caught.value is known


def test_a_method_on_a_full_device_names_itself(device, monkeypatch, rng):
    method = get_method("inversion", "tkd")
    shape = (24, 20, 16)
    inputs = {"local_field": rng.normal(size=shape).astype(np.float32), "mask": np.ones(shape, bool)}

    def run():
        return method(inputs, Grid(shape, np.eye(4), 3.0), method.params(), device=device)["chi"]

    assert run().shape == shape
    free_pool(device)
    if device.kind == "cuda":
        limit_pool(device, 1 << 16)
    else:
        monkeypatch.setattr("qsmengine.backend.device._aligned", _full)
    try:
        with pytest.raises(OutOfMemoryError, match=f"inversion method tkd: out of memory on {device}"):
            run()
        assert device.kind == "cpu" or available_memory(device) <= 1 << 16
    finally:
        limit_pool(device, 0)


def _full(make, shape, dtype):
    raise MemoryError("Unable to allocate 9 GiB")
