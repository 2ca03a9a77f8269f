from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.arlo import ARLO_DECAY, TWO_ECHO_DECAY
from qsmengine.backend.signatures.field_fit import WEIGHTED_FIELD_FIT
from qsmengine.stages.relaxometry.arlo import integral_weights
from tests.stages.gre import DEVICE

SIZES = [1, 63, 64, 65, 1001]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("echoes", [2, 5])
@pytest.mark.parametrize("with_offset", [0, 1])
def test_field_fit_equals_the_normal_equations(n, echoes, with_offset):
    rng = np.random.default_rng(n)
    times = np.sort(rng.uniform(2, 40, echoes)).astype(np.float32)
    phase = rng.normal(0, 3, (echoes, n)).astype(np.float32)
    magnitude = rng.uniform(0, 2, (echoes, n)).astype(np.float32)
    mask = (rng.random(n) > 0.2).astype(np.uint8)
    slope, information, residual = (DEVICE.empty((n,)) for _ in range(3))
    launch(
        WEIGHTED_FIELD_FIT, DEVICE, phase=phase, magnitude=magnitude, mask=mask, times=times, slope=slope,
        information=information, residual=residual, scale=0.5, floor=0.05, with_offset=with_offset,
    )  # fmt: skip
    design = np.stack([times, np.ones(echoes)], axis=1)[:, : 1 + with_offset].astype(float)
    for voxel in np.flatnonzero(mask)[:40]:
        w = np.maximum(0.5 * magnitude[:, voxel].astype(float), 0.05) ** 2
        normal = design.T @ (w[:, None] * design)
        solution = np.linalg.solve(normal, design.T @ (w * phase[:, voxel]))
        left = (w * (phase[:, voxel] - design @ solution) ** 2).sum()
        assert slope[voxel] == pytest.approx(solution[0], rel=1e-3, abs=1e-4)
        assert information[voxel] == pytest.approx(1 / np.linalg.inv(normal)[0, 0], rel=2e-4)
        assert residual[voxel] == pytest.approx(left, rel=1e-3, abs=1e-4)
    for image in (slope, information, residual):
        assert (image[mask == 0] == 0).all()


def amplitude(signal, times, rate):
    basis = np.exp(-rate * times[:, None])
    return (basis * signal).sum(axis=0) / (basis**2).sum(axis=0)


@pytest.mark.parametrize("n", SIZES)
def test_arlo_equals_the_formula(n):
    rng = np.random.default_rng(n)
    times = np.array([0.002, 0.005, 0.0093, 0.014])
    signal = (900 * np.exp(-rng.uniform(5, 200, n) * times[:, None]) * rng.uniform(0.9, 1.1, (4, n))).astype(
        np.float32
    )
    weights = np.pad(integral_weights(times), ((0, 2), (0, 0)))
    mask = (rng.random(n) > 0.2).astype(np.uint8)
    r2star, t2star, s0 = (DEVICE.empty((n,)) for _ in range(3))
    launch(
        ARLO_DECAY, DEVICE, magnitude=signal, mask=mask, times=times.astype(np.float32),
        coefficients=weights.astype(np.float32), r2star=r2star, t2star=t2star, s0=s0, scale=1e-3, largest=300.0,
        longest=0.1,
    )  # fmt: skip
    s = signal.astype(float)
    integral = np.stack([weights[j] @ s[j : j + 3] for j in (0, 1)])
    drop, last = s[:2] - s[2:], weights[:2, 2:]
    rate = ((integral + last * drop) * drop).sum(0) / ((integral + last * drop) * integral).sum(0)
    rate = np.clip(rate, 0, 300)
    np.testing.assert_allclose(r2star, rate * mask, rtol=2e-4, atol=1e-3)
    np.testing.assert_allclose(t2star, np.minimum(1 / np.maximum(rate, 1e-9), 0.1) * mask, rtol=1e-3)
    np.testing.assert_allclose(s0, amplitude(s, times, rate) * mask, rtol=2e-4)


@pytest.mark.parametrize("n", SIZES)
def test_two_echoes_equal_the_log_ratio(n):
    rng = np.random.default_rng(n)
    times = np.array([0.0023, 0.0046])
    s = rng.uniform(0.5, 2.0, (2, n)).astype(np.float32)
    mask = (rng.random(n) > 0.2).astype(np.uint8)
    r2star, t2star, s0 = (DEVICE.empty((n,)) for _ in range(3))
    launch(
        TWO_ECHO_DECAY, DEVICE, first=s[0], second=s[1], mask=mask, r2star=r2star, t2star=t2star, s0=s0,
        time1=times[0], time2=times[1], largest=200.0, longest=2.0,
    )  # fmt: skip
    rate = np.clip(np.log(s[0].astype(float) / s[1]) / 0.0023, 0, 200)
    np.testing.assert_allclose(r2star, rate * mask, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(s0, amplitude(s.astype(float), times, rate) * mask, rtol=1e-5)
