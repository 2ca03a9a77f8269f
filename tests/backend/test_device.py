"""Devices: names, moving arrays, errors where a GPU is asked for and absent."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qsmengine.backend.device import (
    array_module,
    cpu,
    cuda_devices,
    device_of,
    resolve_device,
    to_numpy,
)
from qsmengine.errors import DeviceError, UsageError


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "CPU", "cuda0", ""])
def test_unknown_names_are_usage_errors(name):
    with pytest.raises(UsageError, match="unknown device"):
        resolve_device(name)


def test_a_gpu_that_is_absent_is_a_device_error_with_the_reason():
    count, reason = cuda_devices()
    with pytest.raises(DeviceError, match="not usable") as caught:
        resolve_device(f"cuda:{count}")
    assert reason in str(caught.value)


def test_threads_must_be_positive():
    with pytest.raises(UsageError, match="at least 1"):
        cpu(0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, ">f4"])
def test_asarray_gives_contiguous_float32_with_the_same_values(device, order, dtype, rng):
    x = np.asarray(rng.integers(-100, 100, (5, 6, 7)), dtype=dtype, order=order)
    moved = device.asarray(x)
    assert moved.dtype == np.float32
    assert moved.flags.c_contiguous
    assert np.array_equal(to_numpy(moved), x)


def test_asarray_does_not_copy_what_fits(device):
    x = device.zeros((3, 4, 5))
    assert device.asarray(x) is x or device.asarray(x).data.ptr == x.data.ptr


def test_zeros_are_zero_in_memory_used_before_too(device):
    for _ in range(3):
        x = device.zeros((5, 300, 7), np.int16)
        assert x.dtype == np.int16
        assert x.flags.c_contiguous
        assert not to_numpy(x).any()
        x[...] = 1
        del x


def test_values_at_an_odd_address_are_copied_to_where_a_kernel_can_load_them(rng):
    values = rng.normal(size=11).astype(np.float32)
    unaligned = np.frombuffer(b"x" + values.tobytes(), np.float32, offset=1)
    placed = cpu(1).asarray(unaligned)
    assert placed.ctypes.data % 4 == 0
    assert np.array_equal(placed, values)


def test_an_array_tells_its_device_and_module(device):
    x = device.empty((2, 3))
    assert device_of(x).kind == device.kind
    assert array_module(x) is device.xp


def test_importing_the_package_does_not_import_cupy():
    code = (
        "import qsmengine, sys; print(sorted({'cupy', 'pandas', 'nibabel', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
