"""Signatures: what breaks them is refused before launch, with names and numbers."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qsmengine.backend import cpu, cuda
from qsmengine.backend.device import Device
from qsmengine.backend.kernel import Binding, Kernel
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.nlm import NLM_PACKED
from qsmengine.backend.signatures.tv import TV_DATA_STEP, TV_KSPACE_STEP
from qsmengine.errors import InputError

DATA = "x: in f32 [n 3]\ny: out c64 [n]\nscale: f32\n"


def values(**changes):
    base = {"x": np.zeros((4, 3), np.float32), "y": np.zeros(4, np.complex64), "scale": 1.0}
    return {**base, **changes}


def test_the_c_parameters_follow_the_declaration():
    kernel = Kernel("k", "k.cu", DATA, items="n")
    assert kernel.c_parameters == "const float* x, Complex* y, float scale, Index n"


def test_sizes_items_and_bytes_come_from_the_arrays():
    kernel = Kernel("k", "k.cu", DATA, items="n")
    bound = kernel.bind(values())
    assert bound.sizes == {"n": 4}
    assert bound.items == 4
    assert kernel.bytes_moved(values()) == 4 * 3 * 4 + 4 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((4, 3))}, "argument x: dtype is float64, must be float32"),
        ({"x": np.zeros((3, 4), np.float32).T}, "argument x: must be C-contiguous"),
        ({"x": np.zeros((4, 2), np.float32)}, "dimension 3 is 2, must be 3"),
        ({"y": np.zeros(5, np.complex64)}, "dimension n is 5, must be 4"),
        ({"y": np.zeros((4, 1), np.complex64)}, r"argument y: shape \(4, 1\) must have dimensions"),
        ({"z": 1}, r"unknown \['z'\]"),
    ],
)
def test_a_broken_argument_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        Kernel("k", "k.cu", DATA, items="n").bind(values(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((4, 3), np.int32)}, "argument x: dtype is int32, must be float32"),
        ({"x": np.zeros((3, 4), np.float32).T}, "argument x: must be C-contiguous"),
        ({"z": 1}, r"unknown \['z'\]"),
    ],
)
def test_shapes_seen_before_do_not_excuse_a_broken_argument(changes, message):
    kernel = Kernel("k", "k.cu", DATA, items="n")
    first = kernel.bind(values())
    with pytest.raises(InputError, match=message):
        kernel.bind(values(**changes))
    assert kernel.bind(values()) is first


def test_more_sets_of_shapes_than_are_kept_are_all_bound():
    kernel = Kernel("k", "k.cu", "x: in f32 [n]\n", items="n")
    for n in (*range(300), 3):
        assert kernel.bind({"x": np.zeros(n, np.float32)}).extents == (n,)


def test_read_only_and_empty_inputs_reach_the_cpu_kernel():
    x = np.arange(6, dtype=np.float32)
    expected = x.copy()
    x.flags.writeable = False
    assert np.array_equal(np.ctypeslib.as_array(_floats(cpu.address(x)[0]), (6,)), expected)
    assert cpu.address(np.zeros((0, 3), np.float32))[0] is not None


def _floats(address):
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_float))


@pytest.mark.parametrize(
    ("n", "threads", "shape"),
    [(1, 256, ((1,), (32, 8))), (257, 128, ((3,), (32, 4))), (1 << 30, 256, ((8192,), (32, 8)))],
)
def test_a_gpu_gets_about_a_thread_for_every_work_item(n, threads, shape):
    kernel = Kernel("k", "k.cu", "x: in f32 [n]\n", items="n", threads=threads)
    assert cuda.launch_shape(kernel, Binding({"n": n}, n, (n,))) == shape


def _shifted(shape, dtype, offset, device):
    """Zeros whose data begin `offset` bytes after an address that every kernel takes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = device.zeros((size + offset + 64,), np.uint8)
    place = memory.ctypes.data if device.kind == "cpu" else memory.data.ptr
    start = -place % 64 + offset
    return memory[start : start + size].view(dtype).reshape(shape)


@pytest.mark.parametrize(("offset", "refused"), [(1, True), (2, True), (4, False), (64, False)])
def test_an_array_of_floats_begins_at_a_multiple_of_four_bytes(device, offset, refused):
    names = ("ax", "u", "f", "w2")
    arrays = {name: _shifted((2, 3, 4), np.float32, offset if name == "f" else 0, device) for name in names}
    if not refused:
        launch(TV_DATA_STEP, device, **arrays, mu=1.0, relax=0.0)
        return
    with pytest.raises(InputError, match="argument f: must be aligned to 4 bytes"):
        launch(TV_DATA_STEP, device, **arrays, mu=1.0, relax=0.0)


@pytest.mark.parametrize(
    ("kernel", "name", "alignment"),
    [
        (TV_KSPACE_STEP, "data", 8),
        (NLM_PACKED, "guide", 16),
        (NLM_PACKED, "values", 16),
        (NLM_PACKED, "offset", 4),
    ],
)
def test_what_a_kernel_loads_at_once_is_aligned_to_its_size(kernel, name, alignment):
    arg = next(a for a in kernel.arguments if a.name == name)
    kernel.check_address(arg, 3 * alignment)
    with pytest.raises(InputError, match=f"argument {name}: must be aligned to {alignment} bytes"):
        kernel.check_address(arg, 3 * alignment + alignment // 2)


class _OnSecondGpu(np.ndarray):
    device: Any = SimpleNamespace(id=1)


def test_an_array_on_another_gpu_is_named_before_anything_is_compiled():
    arrays = {name: np.zeros((2, 2, 2), np.float32).view(_OnSecondGpu) for name in ("ax", "u", "f", "w2")}
    with pytest.raises(InputError, match="argument ax: array lives on cuda:1, not on cuda:0"):
        cuda.call(TV_DATA_STEP, Device("cuda", 0), {**arrays, "mu": 1.0, "relax": 0.0})


def test_a_declaration_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="not a kernel argument"):
        _ = Kernel("k", "k.cu", "x: in float [n]", items="n").arguments


def test_a_missing_argument_is_named(device):
    with pytest.raises(InputError, match=r"missing arguments \['f', 'mu', 'relax', 'w2'\]"):
        launch(TV_DATA_STEP, device, ax=device.zeros((2, 2, 2)), u=device.zeros((2, 2, 2)))
