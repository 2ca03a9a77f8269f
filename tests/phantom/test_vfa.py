"""Virtual heads at several flip angles."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.vfa import VfaSettings, b1_map, vfa_signal, with_noise

GRID = Grid((12, 13, 14), np.eye(4), 3.0)


def test_the_signal_is_that_of_the_ernst_equation():
    rng = np.random.default_rng(1)
    r1, r2star, m0, b1, coil = (rng.uniform(0.5, 1.5, GRID.shape).astype(np.float32) for _ in range(5))
    settings = VfaSettings((5.0, 30.0), (0.01, 0.02), (0.002, 0.005))
    series = vfa_signal(r1=r1, r2star=r2star, m0=m0, b1=b1, sensitivity=coil, grid=GRID, settings=settings)
    assert series.flip_angles == (5.0, 5.0, 30.0, 30.0)
    assert series.repetition_times == (0.01, 0.01, 0.02, 0.02)
    angle, e1 = b1[3, 4, 5] * np.radians(30.0), np.exp(-0.02 * r1[3, 4, 5])
    expected = 1e4 * m0 * coil * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle)) * np.exp(-0.005 * r2star)
    assert series.signal[3, 4, 5, 3] == pytest.approx(expected[3, 4, 5], rel=1e-4)


def test_noise_has_the_snr_of_the_brightest_volume():
    signal = np.broadcast_to(np.array([50.0, 100.0], np.float32), (*GRID.shape, 2))
    inside = np.ones(GRID.shape, bool)
    noisy = with_noise(signal, 50.0, inside, np.random.default_rng(2))
    assert noisy.std(axis=(0, 1, 2)) == pytest.approx(2.0, rel=0.1)
    assert not np.array_equal(noisy[..., 0] - 50, noisy[..., 1] - 100)


def test_b1_is_smooth_and_highest_inside():
    field = b1_map(GRID, (0.03, -0.02, 0.01), 0.3)
    assert field[6, 6, 7] > 1.08
    assert field[0, 6, 7] < 1.0
    assert np.abs(np.diff(field, axis=0)).max() < 0.2


def test_tables_of_different_lengths_are_refused():
    with pytest.raises(UsageError, match="2 flip angles"):
        VfaSettings((5.0, 20.0), (0.02,))
