from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from qsmengine.errors import InputError
from qsmengine.stages.phase.nonlinear_fit import NonlinearFitParams, nonlinear_fit
from qsmengine.stages.phase.weighted_fit import WeightedFitParams, weighted_fit
from tests.stages.gre import DEVICE, TWO_PI, grid_of

B0 = 2.89
RAD = TWO_PI * 42.576 * B0
"""Phase [rad] of 1 ppm in 1 s."""
MANY = [(0.004, 0.011), (0.003, 0.004, 0.0195), tuple(np.arange(1, 13) * 3e-3)]


def fit(unwrapped, magnitude, times, mask=None, **params):
    mask = np.ones(unwrapped.shape[:3], bool) if mask is None else mask
    grid = grid_of(mask.shape, field_strength=B0)
    return nonlinear_fit(
        unwrapped.astype(np.float32),
        magnitude.astype(np.float32),
        mask,
        tuple(times),
        grid,
        NonlinearFitParams(**params),
        device=DEVICE,
    )


def linear(unwrapped, magnitude, times, **params):
    mask = np.ones(unwrapped.shape[:3], bool)
    return weighted_fit(
        unwrapped.astype(np.float32),
        magnitude.astype(np.float32),
        mask,
        tuple(times),
        grid_of(mask.shape, field_strength=B0),
        WeightedFitParams(**params),
        device=DEVICE,
    )


def noisy(shape, times, sigma, seed, ppm=0.0, rate=30.0):
    """Unwrapped phase and magnitude of unit proton density with complex noise."""
    rng = np.random.default_rng(seed)
    times = np.asarray(times)
    truth = RAD * ppm * times * np.ones((*shape, 1))
    signal = np.exp(-rate * times + 1j * truth)
    signal = signal + sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    phase = np.angle(signal * np.exp(-1j * truth)) + truth
    return phase, np.abs(signal)


@pytest.mark.parametrize(
    ("times", "offset"), [((0.02,), False), *((t, o) for t in MANY for o in (False, True))]
)
def test_noise_free_field_is_recovered(times, offset):
    rng = np.random.default_rng(len(times))
    ppm = rng.normal(0, 0.3, (7, 9, 11))
    magnitude = rng.uniform(0.2, 900, (*ppm.shape, len(times)))
    phase = RAD * ppm[..., None] * np.asarray(times) + (1.3 if offset else 0.0)
    result = fit(phase, magnitude, times, offset=offset)
    np.testing.assert_allclose(result.total_field, ppm, atol=2e-6, rtol=3e-6)
    assert np.isfinite(result.noise).all()


@pytest.mark.parametrize("offset", [False, True])
def test_field_is_the_minimum_that_a_general_solver_finds(offset):
    times = np.array([0.004, 0.01, 0.013, 0.024])
    phase, magnitude = noisy((3, 4, 5), times, 0.15, 8, ppm=0.4)
    found = fit(phase, magnitude, times, offset=offset, steps=60).total_field
    start = linear(phase, magnitude, times, offset=offset).total_field
    assert np.abs(found - start).max() > 5e-4
    for index in np.ndindex(3, 4, 5):
        m, p = magnitude[index], phase[index]

        def misfit(x, m=m, p=p):
            error = m * np.exp(1j * p) - m * np.exp(1j * (RAD * x[0] * times + (x[1] if offset else 0)))
            return np.concatenate([error.real, error.imag])

        best = least_squares(misfit, [start[index], 0.0][: 1 + offset], xtol=1e-12, ftol=1e-12, gtol=1e-12)
        here = (misfit([found[index], *best.x[1:]]) ** 2).sum()
        assert found[index] == pytest.approx(best.x[0], abs=2e-5)
        assert here <= (best.fun**2).sum() * (1 + 1e-5) + 1e-9


@pytest.mark.parametrize("offset", [False, True])
def test_noise_map_is_the_standard_deviation_over_repetitions(offset):
    times = np.array([0.004, 0.012, 0.018, 0.025])
    for rate in (15.0, 60.0):
        phase, magnitude = noisy((30, 30, 30), times, 0.02, 5, rate=rate)
        result = fit(phase, magnitude, times, offset=offset)
        assert result.noise.mean() == pytest.approx(result.total_field.std(), rel=0.04)


def test_phase_unwrapped_along_noisy_echoes_gives_less_error_than_the_linear_fit():
    times = 0.003 + 0.004 * np.arange(8)
    phase, magnitude = noisy((30, 30, 30), times, 0.2, 6, rate=40.0)
    for echo in range(1, 8):
        prediction = phase[..., echo - 1] * times[echo] / times[echo - 1]
        phase[..., echo] += TWO_PI * np.rint((prediction - phase[..., echo]) / TWO_PI)
    nonlinear_error = np.sqrt((fit(phase, magnitude, times).total_field ** 2).mean())
    linear_error = np.sqrt((linear(phase, magnitude, times).total_field ** 2).mean())
    assert nonlinear_error < 0.9 * linear_error


def test_strong_signal_gives_the_linear_fit():
    times = (0.004, 0.012, 0.020, 0.028)
    phase, magnitude = noisy((20, 20, 20), times, 0.01, 7, ppm=0.2, rate=20.0)
    found, start = fit(phase, magnitude, times), linear(phase, magnitude, times)
    np.testing.assert_allclose(found.total_field, start.total_field, atol=2e-6)
    np.testing.assert_allclose(found.noise, start.noise, rtol=1e-3)


def test_an_echo_off_by_a_turn_does_not_pull():
    times = (0.004, 0.012, 0.020, 0.028)
    phase, magnitude = noisy((12, 12, 12), times, 0.002, 9, ppm=0.1, rate=50.0)
    phase[..., 3] += TWO_PI
    found = fit(phase, magnitude, times, steps=60).total_field
    np.testing.assert_allclose(found, 0.1, atol=2e-3)
    assert np.abs(linear(phase, magnitude, times).total_field - 0.1).min() > 0.02


@pytest.mark.parametrize("times", [(0.02,), (0.004, 0.011)])
def test_noise_is_relative_where_one_or_two_echoes_do_not_tell_it(times):
    rng = np.random.default_rng(3)
    magnitude = rng.uniform(1, 2, (9, 9, 9, len(times)))
    result = fit(np.zeros_like(magnitude), magnitude, times)
    expected = 1 / np.sqrt((magnitude**2 * np.asarray(times) ** 2).sum(axis=-1))
    np.testing.assert_allclose(result.noise, expected / np.median(expected), rtol=1e-5)


def test_units_of_the_magnitude_do_not_matter():
    times = (0.004, 0.009, 0.02)
    phase, magnitude = noisy((8, 8, 8), times, 0.1, 4)
    plain = fit(phase, magnitude, times)
    for factor in (1e-6, 1e7):
        scaled = fit(phase, magnitude * factor, times)
        np.testing.assert_allclose(scaled.total_field, plain.total_field, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(scaled.noise, plain.noise, rtol=1e-4)


def test_voxels_without_signal_stay_finite_and_the_outside_is_zero():
    times = (0.004, 0.009, 0.02)
    phase, magnitude = noisy((8, 8, 8), times, 0.05, 7)
    magnitude[2, 2, 2] = 0
    mask = np.ones((8, 8, 8), bool)
    mask[0] = False
    plain = fit(phase, magnitude, times, mask)
    magnitude[0], phase[0] = np.nan, np.inf
    result = fit(phase, magnitude, times, mask)
    for a, b in zip(plain, result, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()
        assert (b[0] == 0).all()
    assert result.noise[2, 2, 2] > 100 * np.median(result.noise[mask])


def test_an_offset_needs_two_echoes():
    with pytest.raises(InputError, match="one echo does not determine a phase offset"):
        fit(np.zeros((4, 4, 4, 1)), np.ones((4, 4, 4, 1)), (0.01,), offset=True)
