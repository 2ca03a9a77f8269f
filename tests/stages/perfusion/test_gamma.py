"""The gamma model recovers flow, transit time, delay and dispersion of curves that follow it."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu
from tests.stages.perfusion.curves import (
    STEP,
    TIMES,
    artery,
    box,
    deconvolve,
    delayed,
    exponential,
    gamma_transit,
    osipi,
)

SEVERAL = {"iterations": 60}


@pytest.mark.parametrize("shape", [1.0, 2.0, 4.0])
def test_transit_times_of_any_shape_are_recovered(shape: float, device: Device) -> None:
    transits = np.array([4.0, 6.0, 9.0])
    curves = 0.01 * np.stack([gamma_transit(TIMES, m, shape, 16.5) for m in transits])
    found = deconvolve("gamma", curves, artery(TIMES), STEP, device, dispersion_sd=0.0, **SEVERAL)
    np.testing.assert_allclose(found["cbf"], 60.0, rtol=0.03)
    np.testing.assert_allclose(found["mtt"], transits, rtol=0.03)
    np.testing.assert_allclose(found["shape"], shape, rtol=0.1)
    assert np.abs(found["delay"] - 1.5).max() <= 0.05
    np.testing.assert_array_equal(found["dispersion"], 0.0)
    assert found["residual"].max() <= 0.01


def test_dispersion_is_told_from_transit(device: Device) -> None:
    transits = np.array([4.0, 6.0, 9.0])
    curves = 0.01 * np.stack([gamma_transit(TIMES, m, 2.0, 16.5, 0.5) for m in transits])
    found = deconvolve("gamma", curves, artery(TIMES), STEP, device, **SEVERAL)
    np.testing.assert_allclose(found["cbf"], 60.0, rtol=0.05)
    np.testing.assert_allclose(found["mtt"], transits, rtol=0.05)
    np.testing.assert_allclose(found["dispersion"], 0.5, atol=0.15)


def test_prior_decides_where_the_curve_does_not() -> None:
    rng = np.random.default_rng(9)
    curve = 0.01 * gamma_transit(TIMES, 4.0, 2.0, 15.0)
    noisy = curve + 0.3 * curve.max() * rng.normal(size=(200, TIMES.size))
    found = deconvolve("gamma", noisy, artery(TIMES), STEP, cpu(2))
    fitted = found["cbf"] > 0
    assert np.median(found["shape"][fitted]) == pytest.approx(2.0, rel=0.1)
    assert np.median(found["dispersion"][fitted]) == pytest.approx(0.5, rel=0.1)
    assert np.isfinite(found["cbf_sd"]).all()


def test_errors_cover_the_spread_of_repetitions() -> None:
    """The priors widen the posterior beyond the spread around one true shape, by a factor below 2.5."""
    rng = np.random.default_rng(10)
    curve = 0.01 * gamma_transit(TIMES, 5.0, 2.0, 16.5, 0.5)
    noisy = curve + 0.02 * curve.max() * rng.normal(size=(200, TIMES.size))
    found = deconvolve("gamma", noisy, artery(TIMES), STEP, cpu(2))
    for name in ("cbf", "mtt", "delay"):
        assert 0.9 <= np.median(found[f"{name}_sd"]) / found[name].std() <= 2.5, name


def test_delay_does_not_change_the_flow() -> None:
    data, delays = osipi(), np.array([-5.0, -2.5, 0.0, 2.5, 5.0])
    curve = int(np.flatnonzero(data.cbf == 60)[0])
    curves = np.stack([delayed(data.tissue[curve], delay / data.step) for delay in delays])
    found = deconvolve("gamma", curves, data.artery[curve], data.step, cpu(2))
    assert np.abs(found["cbf"] / found["cbf"][2] - 1).max() <= 0.02
    assert np.abs(found["tmax"] - found["tmax"][2] - delays).max() <= data.step / 2


def test_curves_without_a_passage_have_no_flow(device: Device) -> None:
    curves = np.stack([np.zeros(TIMES.size), -exponential(TIMES, 4.0)])
    found = deconvolve("gamma", curves, artery(TIMES), STEP, device)
    for name in ("cbf", "mtt", "delay", "shape", "dispersion", "cbf_sd"):
        np.testing.assert_array_equal(found[name], 0.0)


def test_box_is_fitted_better_than_by_an_exponential() -> None:
    curves = 0.01 * np.stack([box(TIMES, m) for m in (4.0, 6.0, 9.0)])
    found, simple = (deconvolve(m, curves, artery(TIMES), STEP, cpu(2)) for m in ("gamma", "exponential"))
    assert (found["residual"] < 0.85 * simple["residual"]).all()
