"""R2 from balanced steady-state free precession."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.phantom.bssfp import BalancedSettings, bssfp_signal
from qsmengine.stages.relaxometry.balanced import KnownFieldParams, known_field
from qsmengine.stages.relaxometry.ellipse import EllipseParams, ellipse
from qsmengine.units import hz_per_ppm
from tests.stages.gre import DEVICE, grid_of

SHAPE = (24, 24, 24)
GRID = grid_of(SHAPE)
MASK = np.ones(SHAPE, bool)
TR = 0.006
FOUR = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 270.0), TR)
TWO = BalancedSettings((15.0, 45.0), (180.0, 180.0), TR)
ONE = BalancedSettings((35.0,), (180.0,), TR)


@pytest.fixture(scope="module")
def tissue():
    """R1, R2, amplitude, B1, and a frequency of -70 to 70 Hz (x, y, z)."""
    rng = np.random.default_rng(1)
    ranges = {
        "r1": (0.5, 1.5),
        "r2": (8, 25),
        "amplitude": (800, 1200),
        "b1": (0.85, 1.15),
        "frequency": (-70, 70),
    }
    return {name: rng.uniform(*limits, SHAPE).astype(np.float32) for name, limits in ranges.items()}


def images(tissue, settings, snr=None, seed=2):
    """Complex images (x, y, z, volume); the SNR is that of the mean of the brightest."""
    clean = bssfp_signal(**tissue, settings=settings)
    if snr is None:
        return clean
    rng = np.random.default_rng(seed)
    sigma = np.abs(clean).mean(axis=(0, 1, 2)).max() / snr
    return clean + sigma * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape))


def fit(tissue, settings, made, **more):
    count = len(settings.flip_angles)
    field = tissue["frequency"] / hz_per_ppm(GRID.required_field_strength)
    return known_field(
        np.abs(made), MASK, settings.flip_angles, settings.increments, (TR,) * count, (TR / 2,) * count,
        tissue["r1"], field, GRID, KnownFieldParams(**more.pop("params", {})), b1=tissue["b1"], device=DEVICE,
        **more,
    )  # fmt: skip


def solve(made, settings, **params):
    count = len(settings.flip_angles)
    return ellipse(
        np.abs(made),
        np.angle(made),
        MASK,
        settings.increments,
        (TR,) * count,
        GRID,
        EllipseParams(**params),
        device=DEVICE,
    )


@pytest.mark.parametrize(("settings", "known"), [(ONE, True), (TWO, False), (TWO, True), (FOUR, True)])
def test_images_without_noise_give_r2_outside_bands(tissue, settings, known):
    amplitude = {"amplitude": tissue["amplitude"]} if known else {}
    found = fit(tissue, settings, images(tissue, settings), **amplitude)
    turns = np.abs(np.mod(tissue["frequency"] * TR, 1.0))
    banded = (turns > 0.3) & (turns < 0.7) if settings is not FOUR else np.zeros(SHAPE, bool)
    np.testing.assert_array_equal(found.balanced_used < 1, banded)
    assert 0 <= banded.mean() < 0.4
    np.testing.assert_allclose(found.balanced_r2[~banded], tissue["r2"][~banded], rtol=1e-4)
    assert not found.balanced_r2[banded].any()


def test_the_resonant_formula_would_halve_t2_at_40_hz(tissue):
    """A field of 0 instead of 40 Hz doubles R2."""
    shape = {name: np.full(SHAPE, tissue[name].mean(), np.float32) for name in tissue}
    shape |= {"r2": np.full(SHAPE, 14.0, np.float32), "frequency": np.full(SHAPE, 40.0, np.float32)}
    made = images(shape, TWO)
    ignored = {**shape, "frequency": np.zeros(SHAPE, np.float32)}
    assert fit(ignored, TWO, made).balanced_r2.mean() > 1.7 * 14.0
    assert fit(shape, TWO, made).balanced_r2.mean() == pytest.approx(14.0, rel=1e-3)


def test_noise_of_an_snr_of_60_leaves_regional_means_within_four_and_six_percent(tissue):
    even = {**tissue, "r2": np.full(SHAPE, 14.0, np.float32)}
    found = fit(even, TWO, images(even, TWO, snr=60))
    offset = np.abs(even["frequency"])
    near, far = offset < 8, (offset >= 8) & (found.balanced_used > 0)
    assert found.balanced_r2[near].mean() == pytest.approx(14.0, rel=0.04)
    assert found.balanced_r2[far].mean() == pytest.approx(14.0, rel=0.06)


def test_the_stated_error_is_that_of_the_noise(tissue):
    made = images(tissue, TWO, snr=300)
    sigma = np.abs(bssfp_signal(**tissue, settings=TWO)).mean(axis=(0, 1, 2)).max() / 300
    found = fit(tissue, TWO, made, params={"noise": float(sigma)})
    seen = found.balanced_r2 > 0
    error = (found.balanced_r2 - tissue["r2"])[seen] / found.balanced_r2_sd[seen]
    assert error.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("count", [4, 6, 7])
def test_an_ellipse_gives_r2_at_every_frequency(tissue, count):
    increments = tuple(360.0 / count * k for k in range(count))
    settings = BalancedSettings((40.0,) * count, increments[2:] + increments[:2], TR)
    found = solve(images(tissue, settings), settings)
    np.testing.assert_allclose(found.balanced_r2, tissue["r2"], rtol=1e-4)
    expected = 2 * np.pi * TR * tissue["frequency"]
    np.testing.assert_allclose(found.balanced_precession, expected, atol=1e-4)


def test_regional_means_of_an_ellipse_are_unbiased_at_an_snr_of_60(tissue):
    even = {**tissue, "r2": np.full(SHAPE, 14.0, np.float32)}
    found = solve(images(even, FOUR, snr=60), FOUR)
    assert found.balanced_r2.mean() == pytest.approx(14.0, rel=0.02)


@pytest.mark.parametrize("count", [4, 6])
def test_the_stated_error_of_an_ellipse_is_that_of_the_noise(tissue, count):
    settings = BalancedSettings((40.0,) * count, tuple(360.0 / count * k for k in range(count)), TR)
    sigma = float(np.abs(bssfp_signal(**tissue, settings=settings)).mean(axis=(0, 1, 2)).max() / 300)
    found = solve(images(tissue, settings, snr=300), settings, noise=sigma)
    error = (found.balanced_r2 - tissue["r2"]) / found.balanced_r2_sd
    assert error.std() == pytest.approx(1.0, abs=0.1)
    estimated = solve(images(tissue, settings, snr=300), settings).balanced_r2_sd
    assert np.median(estimated / found.balanced_r2_sd) == pytest.approx(1.0, abs=0.1)


def test_the_centre_of_the_ellipse_is_the_geometric_solution(tissue):
    made = images(tissue, FOUR)
    found = solve(made, FOUR)
    one, two, three, four = (made[..., k].astype(complex) for k in range(4))
    crossing = (one * three.conj()).imag * (two - four) - (two * four.conj()).imag * (one - three)
    crossing /= ((one - three).conj() * (two - four)).imag
    np.testing.assert_allclose(found.balanced_unbanded, np.abs(crossing), rtol=1e-3)


@pytest.mark.parametrize(
    ("increments", "words"),
    [((0.0, 90.0, 180.0), "four or more"), ((0.0, 90.0, 180.0, 200.0), "evenly spaced")],
)
def test_increments_that_are_no_ellipse_are_refused(tissue, increments, words):
    settings = BalancedSettings((40.0,) * len(increments), increments, TR)
    with pytest.raises(InputError, match=words):
        solve(images(tissue, settings), settings)


@pytest.mark.parametrize("settings", [ONE, FOUR])
def test_one_flip_angle_without_amplitude_is_refused(tissue, settings):
    with pytest.raises(InputError, match="one flip angle"):
        fit(tissue, settings, images(tissue, settings))
