"""Truncated circulant deconvolution against a singular value decomposition, OSIPI's curves, and delays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import circulant

from qsmengine.backend.device import Device, cpu
from qsmengine.errors import InputError
from tests.stages.perfusion.curves import (
    FRAMES,
    STEP,
    TIMES,
    Curve,
    artery,
    deconvolve,
    delayed,
    exponential,
    osipi,
)


def _noisy(rng: np.random.Generator, count: int = 12) -> Curve:
    transits = np.linspace(2.5, 12.0, count)
    curves = np.stack(
        [exponential(TIMES, m, 15.0 + d) / m for m, d in zip(transits, np.arange(count) % 4, strict=True)]
    )
    return curves + 0.02 * rng.normal(size=curves.shape)


def _svd_residue(curve: Curve, aif: Curve, threshold: float) -> Curve:
    """Residue function (2N,) by singular values of the circulant matrix, in double precision."""
    matrix = STEP * circulant(np.concatenate([aif, np.zeros(aif.size)]))
    u, s, vt = np.linalg.svd(matrix)
    keep = s >= threshold * s[0]
    padded = np.concatenate([curve, np.zeros(curve.size)])
    return vt[keep].T @ ((u[:, keep].T @ padded) / s[keep])


def _maximum(f: Curve) -> tuple[float, float]:
    """Height and place [frames] of the vertex of the parabola through the largest sample and its neighbours."""
    best = int(f.argmax())
    a, b, c = np.polyfit([-1, 0, 1], [f[best - 1], f[best], f[(best + 1) % f.size]], 2)
    return c - b * b / (4 * a), (best if best <= FRAMES else best - 2 * FRAMES) - b / (2 * a)


def _oscillation(f: Curve) -> float:
    return float(np.abs(np.diff(f, 2)).sum() / f.max() / f.size)


def test_csvd_is_a_truncated_svd_of_the_circulant_matrix(rng: np.random.Generator, device: Device) -> None:
    curves, aif = _noisy(rng), artery(TIMES)
    found = deconvolve("csvd", curves, aif, STEP, device, threshold=0.07)
    for k, curve in enumerate(curves):
        f = _svd_residue(curve, aif, 0.07)
        height, place = _maximum(f)
        assert found["cbf"][k] == pytest.approx(6000 * height, rel=2e-5)
        assert found["tmax"][k] == pytest.approx(STEP * place, abs=2e-3)
        missing = np.linalg.norm(np.pad(curve, (0, FRAMES)) - STEP * _cyclic(aif, f)) / np.linalg.norm(curve)
        assert found["residual"][k] == pytest.approx(missing, rel=1e-3)


def _cyclic(aif: Curve, f: Curve) -> Curve:
    return np.fft.irfft(np.fft.rfft(aif, f.size) * np.fft.rfft(f), f.size)


def test_osvd_stops_at_the_first_smooth_residue_function(rng: np.random.Generator, device: Device) -> None:
    curves, aif = _noisy(rng, 6), artery(TIMES)
    found = deconvolve("osvd", curves, aif, STEP, device)
    for k, curve in enumerate(curves):
        residues = (_svd_residue(curve, aif, 0.01 * step) for step in range(1, 96))
        f = next(f for f in residues if _oscillation(f) <= 0.035)
        assert found["cbf"][k] == pytest.approx(6000 * _maximum(f)[0], rel=1e-4)


def test_osvd_keeps_the_largest_threshold_where_nothing_is_smooth(device: Device) -> None:
    noise = np.random.default_rng(3).normal(size=(3, FRAMES)) + 0.05
    aif = artery(TIMES)
    found = deconvolve("osvd", noise, aif, STEP, device, oscillation=1e-6)
    fixed = deconvolve("csvd", noise, aif, STEP, device, threshold=0.95)
    np.testing.assert_allclose(found["cbf"], fixed["cbf"], rtol=1e-4)


def test_maps_follow_their_definitions(rng: np.random.Generator, device: Device) -> None:
    curves, aif = _noisy(rng), artery(TIMES)
    settings = {"haematocrit_factor": 0.73, "density": 1.04}
    plain = deconvolve("csvd", curves, aif, STEP, device)
    scaled = deconvolve("csvd", curves, aif, STEP, device, **settings)
    np.testing.assert_allclose(plain["cbv"], 100 * curves.sum(axis=1) / aif.sum(), rtol=1e-5)
    for name in ("cbv", "cbf"):
        np.testing.assert_allclose(scaled[name], plain[name] * 0.73 / 1.04, rtol=1e-5)
    np.testing.assert_allclose(plain["mtt"], 60 * plain["cbv"] / plain["cbf"], rtol=1e-5)
    assert np.abs(plain["ttp"] / STEP - curves.argmax(axis=1)).max() <= 0.5


def test_first_pass_ends_at_the_minimum_of_the_mean_curve(device: Device) -> None:
    curve = exponential(TIMES, 4.0)[None] + exponential(TIMES, 4.0, 55.0)[None]
    aif = artery(TIMES) + artery(TIMES, 55.0)
    found = deconvolve("csvd", curve, aif, STEP, device, cbv_window="first_pass")
    end = int(np.argmin(curve[0, 30:48])) + 31
    assert found["cbv"][0] == pytest.approx(100 * curve[0, :end].sum() / aif[:end].sum(), rel=1e-3)


@pytest.mark.parametrize(("method", "allowed"), [("csvd", 0.01), ("osvd", 0.04)])
def test_delay_does_not_change_the_flow_and_tmax_follows(method: str, allowed: float) -> None:
    data, delays = osipi(), np.arange(-5.0, 5.1, 1.0)
    curve = int(np.flatnonzero(data.cbf == 60)[0])
    curves = np.stack([delayed(data.tissue[curve], delay / data.step) for delay in delays])
    found = deconvolve(method, curves, data.artery[curve], data.step, cpu(2))
    undelayed = int(np.flatnonzero(delays == 0)[0])
    assert np.abs(found["cbf"] / found["cbf"][undelayed] - 1).max() <= allowed
    apart = found["tmax"] - found["tmax"][undelayed] - delays
    assert np.abs(apart).max() <= data.step / 2


def test_blood_volume_of_osipi_s_curves_is_that_of_the_rectangle_rule() -> None:
    data = osipi()
    found = deconvolve_all("csvd")
    expected = data.cbv * (1 + data.step * data.cbf / data.cbv / 120)
    assert np.abs(found["cbv"] / expected - 1).mean() <= 0.025


@pytest.mark.parametrize(("method", "threshold", "error"), [("csvd", 0.05, 0.12), ("osvd", None, 0.16)])
def test_blood_flow_of_osipi_s_curves(method: str, threshold: float | None, error: float) -> None:
    settings = {} if threshold is None else {"threshold": threshold}
    found = deconvolve_all(method, **settings)
    assert np.abs(found["cbf"] / osipi().cbf - 1).mean() <= error


def deconvolve_all(method: str, **settings: float) -> dict[str, Curve]:
    return osipi().deconvolve(method, cpu(2), **settings)


@pytest.mark.parametrize(
    ("aif", "message"),
    [
        (np.zeros(FRAMES), "not positive"),
        (np.full(FRAMES, np.nan), "not finite"),
        (np.ones(FRAMES - 1), "frames"),
    ],
)
def test_an_arterial_curve_that_cannot_be_used_is_refused(aif: Curve, message: str) -> None:
    with pytest.raises(InputError, match=message):
        deconvolve("csvd", exponential(TIMES, 4.0)[None], aif, STEP, cpu(1))
