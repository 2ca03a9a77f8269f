"""Euclidean norm of large arrays."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine import norm
from qsmengine.norm import euclidean_norm


@pytest.mark.parametrize("size", [1, 1000, 5000])
def test_norm_equals_numpys_in_one_piece_and_in_several(size, monkeypatch):
    monkeypatch.setattr(norm, "PIECE", 700)
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    assert euclidean_norm(values) == pytest.approx(float(np.linalg.norm(values.astype(np.float64))), rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_bad_element_anywhere_makes_the_norm_not_finite(bad, order, monkeypatch):
    monkeypatch.setattr(norm, "PIECE", 64)
    rng = np.random.default_rng(7)
    values = np.asarray(rng.normal(size=(9, 10, 11)).astype(np.float32), order=order)
    assert np.isfinite(euclidean_norm(values))
    values[tuple(rng.integers(0, values.shape))] = bad
    assert not np.isfinite(euclidean_norm(values))


def test_squares_that_overflow_in_a_thread_warn_nobody(monkeypatch, recwarn):
    monkeypatch.setattr(norm, "PIECE", 64)
    assert euclidean_norm(np.full(500, 1e30, np.float32)) == np.inf
    assert not recwarn.list
