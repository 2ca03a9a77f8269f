from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import rice

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.decay_fit import LogLinearParams, NonlinearParams, log_linear, nonlinear
from tests.stages.gre import DEVICE, grid_of

TIMES = (0.003, 0.0075, 0.0121, 0.019, 0.028)
SHAPE = (9, 10, 11)
METHODS: dict[str, Any] = {
    "log_linear": (log_linear, LogLinearParams),
    "nonlinear": (nonlinear, NonlinearParams),
}
both = pytest.mark.parametrize("method", METHODS)


def fit(method, magnitude, times=TIMES, mask=None, **params):
    run, kind = METHODS[method]
    mask = np.ones(magnitude.shape[:3], bool) if mask is None else mask
    image = np.asarray(magnitude, np.float32)
    return run(image, mask, times, grid_of(mask.shape), kind(**params), device=DEVICE)


def decay(rate, times=TIMES, s0=1.0):
    return np.asarray(s0)[..., None] * np.exp(-np.asarray(rate)[..., None] * np.asarray(times))


def rician(clean, sigma, seed):
    rng = np.random.default_rng(seed)
    return np.abs(clean + sigma * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)))


@both
@pytest.mark.parametrize("times", [TIMES, TIMES[:3], TIMES[:2]])
def test_noise_free_decay_is_recovered(method, times):
    rng = np.random.default_rng(1)
    rate, s0 = rng.uniform(1, 150, SHAPE), rng.uniform(10, 4000, SHAPE)
    result = fit(method, decay(rate, times, s0), times, noise=1.0)
    np.testing.assert_allclose(result.r2star, rate, rtol=2e-4, atol=5e-3)
    np.testing.assert_allclose(result.t2star, 1 / result.r2star, rtol=1e-5)
    np.testing.assert_allclose(result.s0, s0, rtol=2e-4)


def test_log_linear_equals_numpys_weighted_line():
    magnitude = np.random.default_rng(2).uniform(0.3, 1, (3, 4, 5, 5))
    magnitude *= decay(np.full((3, 4, 5), 40.0))
    result = fit("log_linear", magnitude, noise=0.02)
    for index in np.ndindex(3, 4, 5):
        m = magnitude[index]
        slope, intercept = np.polyfit(TIMES, np.log(m), 1, w=m)
        slope = min(slope, 0.0)
        assert result.r2star[index] == pytest.approx(-slope, rel=1e-3, abs=2e-3)
        if slope < 0:
            assert result.s0[index] == pytest.approx(np.exp(intercept), rel=1e-3)
        mean = np.average(TIMES, weights=m**2)
        expected = 0.02 / np.sqrt((m**2 * (np.asarray(TIMES) - mean) ** 2).sum())
        assert result.r2star_sd[index] == pytest.approx(expected, rel=1e-3)


def exponential(t, amplitude, rate):
    return amplitude * np.exp(-rate * t)


def test_nonlinear_equals_scipys_curve_fit():
    rng = np.random.default_rng(3)
    rate = rng.uniform(10, 90, (3, 4, 5))
    magnitude = decay(rate) + 0.03 * rng.standard_normal((3, 4, 5, 5))
    result = fit("nonlinear", magnitude, noise=0.03, steps=40)
    for index in np.ndindex(3, 4, 5):
        (s0, best), covariance = curve_fit(
            exponential, TIMES, magnitude[index], p0=(1.0, float(rate[index])),
            sigma=np.full(5, 0.03), absolute_sigma=True,
        )  # fmt: skip
        assert result.r2star[index] == pytest.approx(best, rel=1e-3)
        assert result.s0[index] == pytest.approx(s0, rel=5e-4)
        assert result.r2star_sd[index] == pytest.approx(np.sqrt(covariance[1, 1]), rel=2e-3)


@both
@pytest.mark.parametrize("given", [None, 0.012])
def test_standard_deviation_is_that_of_repetitions(method, given):
    for rate in (15.0, 50.0):
        magnitude = rician(decay(np.full((25, 25, 25), rate)), 0.012, 4)
        result = fit(method, magnitude, noise=given)
        assert result.r2star_sd.mean() == pytest.approx(result.r2star.std(), rel=0.06)


def test_nonlinear_fit_has_less_noise_than_the_log_linear_one():
    late = tuple(0.004 + 0.008 * np.arange(6))
    magnitude = rician(decay(np.full((30, 30, 30), 45.0), late), 0.03, 5)
    errors = {m: np.sqrt(((fit(m, magnitude, late).r2star - 45) ** 2).mean()) for m in METHODS}
    assert errors["nonlinear"] < 0.97 * errors["log_linear"]


@pytest.mark.parametrize("given", [None, 0.04])
def test_accounting_for_the_noise_floor_removes_the_bias(given):
    late = tuple(0.004 + 0.01 * np.arange(8))
    magnitude = rician(decay(np.full((30, 30, 30), 60.0), late), 0.04, 6)
    bias = {}
    for method in METHODS:
        for floor in (False, True):
            result = fit(method, magnitude, late, noise=given, noise_floor=floor)
            bias[method, floor] = np.median(result.r2star) - 60
    assert bias["nonlinear", False] < -3
    assert abs(bias["nonlinear", True]) < 0.6
    assert bias["log_linear", False] < -8
    assert abs(bias["log_linear", True]) < 0.6 * abs(bias["log_linear", False])


def test_fitted_mean_is_that_of_a_rician_magnitude():
    """Exact expectations of the magnitude are fitted by the decay they come from."""
    rates = np.array([20.0, 60.0, 110.0])
    late = tuple(0.004 + 0.006 * np.arange(8))
    sigma = 0.1
    expected = rice.mean(decay(rates, late) / sigma, scale=sigma)
    image = np.broadcast_to(expected[:, None, None], (3, 2, 2, 8))
    result = fit("nonlinear", image, late, noise=sigma, noise_floor=True, steps=50)
    np.testing.assert_allclose(result.r2star[:, 0, 0], rates, rtol=0.004)
    assert (fit("nonlinear", image, late, noise=sigma).r2star[1:, 0, 0] < 0.9 * rates[1:]).all()


@both
def test_units_of_the_magnitude_do_not_matter(method):
    magnitude = rician(decay(np.full(SHAPE, 40.0)), 0.03, 7)
    plain = fit(method, magnitude, noise=0.03, noise_floor=True)
    for factor in (1e-5, 1e6):
        scaled = fit(method, magnitude * factor, noise=0.03 * factor, noise_floor=True)
        np.testing.assert_allclose(scaled.r2star, plain.r2star, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scaled.r2star_sd, plain.r2star_sd, rtol=1e-3)
        np.testing.assert_allclose(scaled.s0, plain.s0 * factor, rtol=1e-3)


@both
@pytest.mark.parametrize("floor", [False, True])
def test_results_are_finite_and_bounded_for_any_magnitude(method, floor):
    rng = np.random.default_rng(8)
    magnitude = rng.uniform(0, 1, (*SHAPE, len(TIMES)))
    magnitude[0] = 0
    magnitude[1, ..., 1:] = 0
    magnitude[2] = 1
    magnitude[3] = np.arange(1, 1 + len(TIMES))
    mask = np.ones(SHAPE, bool)
    mask[4] = False
    magnitude[4] = np.nan
    result = fit(method, magnitude, mask=mask, noise_floor=floor, r2star_max=500.0, t2star_max=1.5)
    assert all(np.isfinite(m).all() and (m >= 0).all() for m in result)
    assert result.r2star.max() <= 500
    assert result.t2star.max() <= 1.5
    for plane in (0, 4):
        assert all((m[plane] == 0).all() for m in result)
    lost = (result.s0[1] == 0) & floor
    assert ((result.r2star[1] > 100) | lost).all()
    assert (~lost).any()
    assert (result.r2star[2:4] < 1e-2).all()


@both
def test_bad_inputs_are_named(method):
    with pytest.raises(InputError, match="EchoTime: R2\\* needs at least two echoes"):
        fit(method, np.ones((*SHAPE, 1)), (0.01,))
    with pytest.raises(InputError, match="EchoTime: two echoes leave no residual"):
        fit(method, np.ones((*SHAPE, 2)), (0.01, 0.02))
