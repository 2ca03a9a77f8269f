"""Simulated steady state of RF spoiling, and the correction made from it."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.stages.relaxometry.rf_spoiling import spoiled_signal
from qsmengine.stages.relaxometry.variable_flip_angle import LinearParams, linear
from tests.stages.relaxometry.spoiled import apply

TR, INCREMENT = 0.0187, 50.0


def ernst(flip, tr, t1):
    e1 = np.exp(-tr / t1)
    return np.sin(flip) * (1 - e1) / (1 - e1 * np.cos(flip))


def isochromats(flip, tr, t1, t2, increment, count=120, pulses=500):
    """Steady state by rotations of spins that the gradient turns by equal fractions of a full circle."""
    turn = np.exp(2j * np.pi * np.arange(count) / count)
    transverse, z = np.zeros(count, complex), np.ones(count)
    phase = step = 0.0
    for _ in range(pulses):
        along = transverse * np.exp(-1j * phase)
        y = along.imag * np.cos(flip) - z * np.sin(flip)
        z = along.imag * np.sin(flip) + z * np.cos(flip)
        transverse = (along.real + 1j * y) * np.exp(1j * phase)
        signal = abs(transverse.mean())
        transverse = transverse * np.exp(-tr / t2) * turn
        z = 1 + (z - 1) * np.exp(-tr / t1)
        step += increment
        phase += step
    return signal


def test_short_t2_is_spoiled_completely():
    rng = np.random.default_rng(1)
    t1, flip = rng.uniform(0.6, 2.0, 20), np.radians(rng.uniform(3, 40, 20))
    found = spoiled_signal(flip, TR, t1, 1e-3, np.radians(INCREMENT))
    np.testing.assert_allclose(found, ernst(flip, TR, t1), rtol=1e-3)


@pytest.mark.parametrize("flip", [6.0, 30.0])
def test_the_phase_graph_agrees_with_a_sum_over_spins(flip):
    flip, increment = np.radians(flip), np.radians(INCREMENT)
    expected = isochromats(flip, TR, 0.9, 0.08, increment)
    found = spoiled_signal(np.array([flip]), TR, np.array([0.9]), 0.08, increment)[0]
    assert found == pytest.approx(expected, rel=1e-3)
    assert abs(found / ernst(flip, TR, 0.9) - 1) > 5e-4


def test_the_correction_removes_the_error_of_incomplete_spoiling():
    rng = np.random.default_rng(2)
    shape = (4, 5, 6)
    t1, b1 = rng.uniform(0.6, 2.0, shape), rng.uniform(0.7, 1.3, shape)
    protocol = ((6.0, 21.0), (TR, TR), (0.002, 0.002))
    signal = np.stack(
        [
            1000 * spoiled_signal(np.radians(flip) * b1.ravel(), TR, t1.ravel(), 0.08, np.radians(INCREMENT))
            for flip in protocol[0]
        ],
        axis=-1,
    ).reshape(*shape, 2)
    plain = apply(linear, LinearParams(), signal, protocol, b1=b1)
    corrected = apply(linear, LinearParams(spoiling_increment=INCREMENT), signal, protocol, b1=b1)
    assert np.abs(plain.t1 / t1 - 1).max() > 0.08
    assert np.abs(corrected.t1 / t1 - 1).max() < 0.025
    np.testing.assert_allclose(corrected.r1 * corrected.t1, 1.0, rtol=1e-5)
