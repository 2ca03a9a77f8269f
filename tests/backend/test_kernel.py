"""Signatures: what breaks them is refused before launch, with names and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tv import TV_DATA_STEP
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
    sizes = kernel.bind(values())
    assert sizes == {"n": 4}
    assert kernel.work_items(sizes) == 4
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


def test_a_declaration_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="not a kernel argument"):
        _ = Kernel("k", "k.cu", "x: in float [n]", items="n").arguments


def test_a_missing_argument_is_named(device):
    with pytest.raises(InputError, match=r"missing arguments \['f', 'mu', 'w2'\]"):
        launch(TV_DATA_STEP, device, ax=device.zeros((2, 2, 2)), u=device.zeros((2, 2, 2)))
