"""The exponential model recovers flow, transit time and delay, and states its errors."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu
from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.curves import STEP, TIMES, artery, deconvolve, delayed, exponential, osipi

TRANSITS = np.array([2.5, 4.0, 6.0, 10.0, 16.0])
DELAYS = np.array([-4.0, -1.3, 0.0, 2.2, 5.0])


def test_flow_transit_and_delay_are_recovered(device: Device) -> None:
    cases = [(m, d) for m in TRANSITS for d in DELAYS]
    curves = 0.01 * np.stack([exponential(TIMES, m, 15.0 + d) for m, d in cases])
    found = deconvolve("exponential", curves, artery(TIMES), STEP, device)
    transits, delays = np.array(cases).T
    np.testing.assert_allclose(found["cbf"], 60.0, rtol=0.02)
    np.testing.assert_allclose(found["mtt"], transits, rtol=0.05)
    assert np.abs(found["delay"] - delays).max() <= 0.2
    np.testing.assert_array_equal(found["tmax"], found["delay"])
    assert found["residual"].max() <= 0.01


def test_rectangles_are_fitted_exactly(device: Device) -> None:
    aif = artery(TIMES)
    curves = np.stack([0.01 * STEP * np.convolve(aif, np.exp(-TIMES / m))[: TIMES.size] for m in TRANSITS])
    found = deconvolve("exponential", curves, aif, STEP, device, rule="rectangle")
    np.testing.assert_allclose(found["cbf"], 60.0, rtol=1e-3)
    np.testing.assert_allclose(found["mtt"], TRANSITS, rtol=1e-3)


def test_standard_errors_are_those_of_repetitions() -> None:
    rng = np.random.default_rng(8)
    clean = 0.01 * exponential(TIMES, 4.0, 16.0)
    curves = clean + 0.04 * clean.max() * rng.normal(size=(600, TIMES.size))
    found = deconvolve("exponential", curves, artery(TIMES), STEP, cpu(2))
    for name in ("cbf", "mtt", "delay"):
        assert np.median(found[f"{name}_sd"]) == pytest.approx(found[name].std(), rel=0.15)


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_the_mean_flow_of_noisy_curves_is_not_overestimated(noise: float, device: Device) -> None:
    rng = np.random.default_rng(12)
    clean = 0.01 * np.stack([exponential(TIMES, m, 15.5) for m in (3.5, 5.0) for _ in range(1500)])
    curves = clean + noise * clean.max() * rng.normal(size=clean.shape)
    found = deconvolve("exponential", curves, artery(TIMES), STEP, device)["cbf"]
    plain = deconvolve("exponential", curves, artery(TIMES), STEP, device, transit_sd=0.0, delay_sd=0.0)["cbf"]
    for half in (slice(0, 1500), slice(1500, None)):
        assert found[half].mean() == pytest.approx(60.0, rel=0.12)
    assert plain.mean() > (1.2 * 60.0 if noise == 0.3 else 60.0)


def test_a_curve_that_determines_its_transit_time_overrides_the_prior(device: Device) -> None:
    usual, long = exponential(TIMES, 4.0), exponential(TIMES, 14.0)
    curves = 0.01 * np.stack([*[usual] * 20, long])
    curves += 0.01 * curves.max() * np.random.default_rng(5).normal(size=curves.shape)
    found = deconvolve("exponential", curves, artery(TIMES), STEP, device)
    assert found["mtt"][-1] == pytest.approx(14.0, rel=0.1)


def test_blood_flow_of_osipi_s_curves() -> None:
    found = osipi().deconvolve("exponential", cpu(2), rule="rectangle")
    assert np.abs(found["cbf"] / osipi().cbf - 1).mean() <= 0.05


def test_delay_does_not_change_the_flow() -> None:
    data, delays = osipi(), np.arange(-5.0, 5.1, 1.0)
    curve = int(np.flatnonzero(data.cbf == 60)[0])
    curves = np.stack([delayed(data.tissue[curve], delay / data.step) for delay in delays])
    found = deconvolve("exponential", curves, data.artery[curve], data.step, cpu(2), rule="rectangle")
    undelayed = int(np.flatnonzero(delays == 0)[0])
    assert np.abs(found["cbf"] / found["cbf"][undelayed] - 1).max() <= 0.02
    assert np.abs(found["tmax"] - found["tmax"][undelayed] - delays).max() <= data.step / 2


def test_curves_without_a_passage_have_no_flow(device: Device) -> None:
    curves = np.stack([np.zeros(TIMES.size), -exponential(TIMES, 4.0)])
    found = deconvolve("exponential", curves, artery(TIMES), STEP, device)
    for name in ("cbf", "mtt", "delay", "cbf_sd", "mtt_sd", "delay_sd"):
        np.testing.assert_array_equal(found[name], 0.0)


def test_empty_range_of_transit_times_is_refused() -> None:
    with pytest.raises(UsageError, match="shortest"):
        parse_params(get_method("deconvolution", "exponential"), {"shortest": 5.0, "longest": 4.0})
