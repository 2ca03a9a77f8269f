"""Alternation of slices by pi is seen and undone; steep fields and noise are no alternation."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.io.slices import alternates, correct_slices, mean_slice_step, undo_alternation

SHAPE = (24, 22, 17)


@pytest.fixture
def series(rng):
    """Magnitude and phase of two echoes: a field quadratic in space, noise in the corners."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    magnitude = np.where(x**2 + y**2 + z**2 < 0.9, 100.0, 1.0)[..., None] * np.array([1.0, 0.7])
    phase = (3 * z**2 + 2 * x * y + 1.5 * z)[..., None] * np.array([1.0, 2.0])
    signal = magnitude * np.exp(1j * phase)
    signal = signal + rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape)
    return np.abs(signal).astype("f4"), np.angle(signal).astype("f4")


def alternating(phase):
    signal = np.exp(1j * phase.astype(float))
    signal[:, :, 1::2] *= -1
    return np.angle(signal).astype("f4")


def distance(a, b):
    return np.abs(np.angle(np.exp(1j * (a.astype(float) - b)))).max()


def test_alternation_is_found_and_undone(series):
    magnitude, phase = series
    turned = alternating(phase)
    notes: list[str] = []
    correct_slices(magnitude, turned, None, notes)
    assert distance(turned, phase) < 1e-5
    assert np.abs(turned).max() <= np.pi + 1e-6
    assert notes == ["phase: every second slice rotated by pi (detected: neighbouring slices differ by pi)"]


def test_ordinary_phase_stays(series):
    magnitude, phase = series
    before = phase.copy()
    notes: list[str] = []
    correct_slices(magnitude, phase, None, notes)
    np.testing.assert_array_equal(phase, before)
    assert notes == []


def test_setting_wins_over_detection(series):
    magnitude, phase = series
    forced = phase.copy()
    notes: list[str] = []
    correct_slices(magnitude, forced, True, notes)
    assert distance(forced, alternating(phase)) < 1e-5
    assert "on request" in notes[0]
    left, notes = alternating(phase), []
    correct_slices(magnitude, left, False, notes)
    np.testing.assert_array_equal(left, alternating(phase))
    assert "not corrected, as requested" in notes[0]


def test_mean_step_is_the_weighted_phasor(series):
    magnitude, phase = (a[..., 0] for a in series)
    weight = (magnitude[..., 1:] * magnitude[..., :-1])[::2, ::2].astype(float)
    step = np.exp(1j * (phase[..., 1:].astype(float) - phase[..., :-1]))[::2, ::2]
    assert mean_slice_step(magnitude, phase) == pytest.approx((weight * step).sum() / weight.sum(), abs=1e-6)


def test_steep_slope_noise_and_single_slices_are_no_alternation(series, rng):
    magnitude, phase = (a[..., 0] for a in series)
    steep = np.angle(np.exp(1j * (phase + 2.0 * np.arange(SHAPE[2])))).astype("f4")
    assert not alternates(magnitude, steep)
    assert not alternates(magnitude, rng.uniform(-np.pi, np.pi, SHAPE).astype("f4"))
    assert not alternates(magnitude[..., :1], phase[..., :1])
    assert not alternates(np.zeros_like(magnitude), phase)


def test_undoing_twice_is_nothing(series):
    phase = series[1].copy()
    undo_alternation(phase)
    undo_alternation(phase)
    np.testing.assert_allclose(phase, series[1], atol=1e-6)
