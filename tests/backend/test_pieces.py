"""Arithmetic in pieces sees every element once, whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.backend.pieces import PIECE, in_pieces


@pytest.mark.parametrize("size", [1, PIECE, 3 * PIECE + 5])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_element_is_seen_once(size, threads, rng):
    a, b = rng.random((2, 1, size)).astype(np.float32)
    total = a.copy()

    def add(total, b):
        total += b

    in_pieces(add, (total, b), cpu(threads))
    assert (total == a + b).all()


def test_work_writes_into_arrays_of_the_device(device):
    a, b = device.asarray(np.arange(12.0).reshape(3, 4)), device.zeros((3, 4))

    def square(a, b):
        b += a * a

    in_pieces(square, (a, b), device)
    assert (to_numpy(b) == np.arange(12.0).reshape(3, 4) ** 2).all()


def test_arrays_must_match_and_have_no_gaps(device):
    a = device.zeros((4, 6))
    for other in (device.zeros((6, 4)), device.zeros((4, 12))[:, ::2]):
        with pytest.raises(ValueError, match="C-contiguous arrays of one shape"):
            in_pieces(lambda *_: None, (a, other), device)
