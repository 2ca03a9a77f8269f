from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.arlo import ArloParams, arlo, integral_weights
from tests.stages.gre import DEVICE, grid_of

EVEN = tuple(0.003 + 0.004 * np.arange(6))
UNEVEN = (0.002, 0.0055, 0.0081, 0.0133, 0.018)
SHAPE = (9, 10, 11)


def fit(magnitude, times, mask=None, **params):
    mask = np.ones(magnitude.shape[:3], bool) if mask is None else mask
    return arlo(magnitude, mask, times, grid_of(mask.shape), ArloParams(**params), device=DEVICE)


def decay(rate, times, s0=1.0):
    return (np.asarray(s0)[..., None] * np.exp(-rate[..., None] * np.asarray(times))).astype(np.float32)


def test_two_echoes_are_exact():
    rng = np.random.default_rng(1)
    rate, s0 = rng.uniform(1, 200, SHAPE), rng.uniform(10, 4000, SHAPE)
    result = fit(decay(rate, (0.0023, 0.0046), s0), (0.0023, 0.0046))
    np.testing.assert_allclose(result.r2star, rate, rtol=1e-5, atol=2e-4)
    np.testing.assert_allclose(result.t2star, 1 / rate, rtol=3e-4)
    np.testing.assert_allclose(result.s0, s0, rtol=1e-5)


@pytest.mark.parametrize("count", [3, 4, 6])
def test_even_spacing_has_the_error_of_simpsons_rule(count):
    rate = np.random.default_rng(2).uniform(5, 150, SHAPE)
    times = EVEN[:count]
    error = fit(decay(rate, times, 700.0), times).r2star / rate - 1
    expected = -((rate * 0.004) ** 4) / 180
    np.testing.assert_allclose(error, expected, atol=2e-5 + 0.1 * np.abs(expected).max())


def test_slow_decay_is_recovered_within_a_thousandth():
    rate = np.random.default_rng(3).uniform(10, 100, SHAPE)
    for times, tolerance in ((EVEN, 2e-4), (UNEVEN, 1e-3)):
        result = fit(decay(rate, times, 50.0), times)
        np.testing.assert_allclose(result.r2star, rate, rtol=tolerance)
        np.testing.assert_allclose(result.s0, 50.0, rtol=1e-3)


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
def test_integral_weights_integrate_every_parabola(times):
    a, b, c = np.random.default_rng(4).normal(size=3)
    t = np.asarray(times)
    samples = a + b * t + c * t**2
    for j, weights in enumerate(integral_weights(t)):
        exact = integrate.quad(lambda u: a + b * u + c * u**2, t[j], t[j + 2])[0]
        assert weights @ samples[j : j + 3] == pytest.approx(exact, rel=1e-12)


def test_even_spacing_gives_the_published_formula():
    rng = np.random.default_rng(5)
    s = rng.uniform(0.5, 1.5, (*SHAPE, 6)).astype(np.float32) * decay(np.full(SHAPE, 60.0), EVEN)
    third = 0.004 / 3
    d = s[..., :-2].astype(float) - s[..., 2:]
    integral = third * (s[..., :-2] + 4.0 * s[..., 1:-1] + s[..., 2:])
    rate = ((integral * d).sum(-1) + third * (d * d).sum(-1)) / (
        (integral * integral).sum(-1) + third * (integral * d).sum(-1)
    )
    np.testing.assert_allclose(fit(s, EVEN).r2star, np.clip(rate, 0, 2000), rtol=1e-4, atol=1e-3)


def test_gaussian_noise_leaves_little_bias_and_the_noise_floor_lowers_the_rate():
    rng = np.random.default_rng(6)
    rate = np.full((60, 60, 60), 60.0)
    clean = decay(rate, EVEN)
    noise = 0.02 * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    assert fit(np.abs(clean + noise).astype(np.float32), EVEN).r2star.mean() == pytest.approx(60, rel=0.01)
    late = tuple(0.02 + 0.01 * np.arange(6))
    noisy = np.abs(decay(rate, late) + 0.05 * (noise / 0.02)).astype(np.float32)
    assert fit(noisy, late).r2star.mean() < 50


@pytest.mark.parametrize("times", [EVEN, EVEN[:2], UNEVEN])
def test_results_are_finite_and_bounded_for_any_magnitude(times):
    rng = np.random.default_rng(7)
    magnitude = rng.uniform(0, 1, (*SHAPE, len(times))).astype(np.float32)
    magnitude[0] = 0
    magnitude[1, ..., 1:] = 0
    magnitude[2] = 1
    magnitude[3] = np.arange(1, 1 + len(times))
    mask = np.ones(SHAPE, bool)
    mask[4] = False
    magnitude[4] = np.nan
    result = fit(magnitude, times, mask, r2star_max=500.0, t2star_max=1.5)
    assert all(np.isfinite(m).all() and (m >= 0).all() for m in result)
    assert result.r2star.max() == pytest.approx(500)
    assert result.t2star.max() == pytest.approx(1.5)
    for plane in (0, 4):
        assert all((m[plane] == 0).all() for m in result)
    assert (result.r2star[1] > 100).all()
    assert (result.r2star[2:4] < 1e-2).all()
    np.testing.assert_allclose(result.t2star[2:4], 1.5, rtol=1e-6)


def test_one_echo_is_an_error():
    with pytest.raises(InputError, match="EchoTime: R2\\* needs at least two echoes"):
        fit(np.ones((*SHAPE, 1), np.float32), (0.01,))
