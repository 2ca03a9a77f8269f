"""Copies between images of different memory order."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine import memory_order
from qsmengine.memory_order import c_ordered, copy

SHAPE = (7, 9, 37)


@pytest.fixture(autouse=True)
def in_blocks(monkeypatch):
    monkeypatch.setattr(memory_order, "SMALL", 0)


def ordered(array, order):
    """Array whose images (..., x, y, z) have an order of memory each."""
    return np.ascontiguousarray(array.swapaxes(-1, -3)).swapaxes(-1, -3) if order == "F" else array.copy()


@pytest.mark.parametrize("order", [("C", "F"), ("F", "C"), ("F", "F"), ("C", "C")])
@pytest.mark.parametrize("shape", [SHAPE, (3, *SHAPE), SHAPE[:2]])
def test_every_element_is_copied_and_converted(order, shape):
    if len(shape) == 2:
        source, target = (np.asarray(np.random.default_rng(1).random(shape), order=o) for o in order)
    else:
        source = ordered(np.random.default_rng(1).random(shape), order[0])
        target = ordered(np.full(shape, -1, np.float32), order[1])
    copy(target, source)
    assert np.array_equal(target, source.astype(target.dtype))


@pytest.mark.parametrize("order", ["C", "F"])
def test_parts_of_images_are_copied(order):
    source = ordered(np.random.default_rng(2).random((20, 20, 40)), order)[3:17, 2:15, 4:38]
    target = np.zeros((20, 20, 40), order="F")
    copy(target[3:17, 2:15, 4:38], source)
    assert np.array_equal(target[3:17, 2:15, 4:38], source)
    assert target.sum() == pytest.approx(source.sum())


def test_an_image_in_c_order_is_returned_as_it_is():
    image = np.random.default_rng(3).random(SHAPE) > 0.5
    assert c_ordered(image) is image
    found = c_ordered(np.asfortranarray(image))
    assert found.flags.c_contiguous
    assert np.array_equal(found, image)
