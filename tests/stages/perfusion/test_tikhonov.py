"""Tikhonov filters against penalised least squares, and the choice of lambda."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import circulant

from qsmengine.backend.device import Device, cpu
from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.curves import FRAMES, STEP, TIMES, Curve, artery, deconvolve, exponential, osipi


def _noisy(rng: np.random.Generator) -> Curve:
    curves = np.stack([exponential(TIMES, m, 16.0) / m for m in (2.5, 4.0, 7.0, 12.0)])
    return curves + 0.02 * rng.normal(size=curves.shape)


def _residue(curve: Curve, aif: Curve, strength: float, order: int) -> Curve:
    """Minimum of |A f - C|^2 + (lambda max|A|)^2 |d^p f / dt^p|^2 as a system of equations (2N,)."""
    size = 2 * FRAMES
    matrix = STEP * circulant(np.pad(aif, (0, FRAMES)))
    frequency = 2 * np.pi * np.fft.fftfreq(size, STEP)
    columns = np.fft.ifft((1j * frequency) ** order)
    derivative = circulant(columns)
    largest = np.abs(np.fft.fft(matrix[:, 0])).max()
    normal = matrix.T @ matrix + (strength * largest) ** 2 * (derivative.conj().T @ derivative).real
    return np.linalg.solve(normal, matrix.T @ np.pad(curve, (0, FRAMES)))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_filter_is_penalised_least_squares(order: int, rng: np.random.Generator, device: Device) -> None:
    curves, aif = _noisy(rng), artery(TIMES)
    found = deconvolve("tikhonov", curves, aif, STEP, device, choice="fixed", order=order, **{"lambda": 0.2})
    for k, curve in enumerate(curves):
        f = _residue(curve, aif, 0.2, order)
        best = int(f.argmax())
        a, b, c = np.polyfit([-1, 0, 1], [f[best - 1], f[best], f[(best + 1) % f.size]], 2)
        assert found["cbf"][k] == pytest.approx(6000 * (c - b * b / (4 * a)), rel=1e-4)
        fitted = STEP * circulant(np.pad(aif, (0, FRAMES))) @ f
        missing = np.linalg.norm(np.pad(curve, (0, FRAMES)) - fitted) / np.linalg.norm(curve)
        assert found["residual"][k] == pytest.approx(missing, rel=1e-3)


@pytest.mark.parametrize("choice", ["gcv", "lcurve"])
def test_choice_is_that_of_its_criterion(choice: str, rng: np.random.Generator, device: Device) -> None:
    """The same choice from the spectra in double precision; settings next to it would change the flow."""
    curves, aif = _noisy(rng), artery(TIMES)
    grid = {"smallest": 0.01, "largest": 1.0, "settings": 12}
    found = deconvolve("tikhonov", curves, aif, STEP, device, choice=choice, **grid)
    strengths = np.geomspace(0.01, 1.0, 12)
    tried = [
        deconvolve("tikhonov", curves, aif, STEP, device, choice="fixed", **{"lambda": s})["cbf"]
        for s in strengths
    ]
    for k, curve in enumerate(curves):
        best = _best(choice, curve, aif, strengths)
        assert found["cbf"][k] == pytest.approx(tried[best][k], rel=1e-5)


def _best(choice: str, curve: Curve, aif: Curve, strengths: Curve) -> int:
    spectrum, power = np.fft.fft(aif, 2 * FRAMES) * STEP, np.abs(np.fft.fft(curve, 2 * FRAMES)) ** 2
    gain = np.abs(spectrum) ** 2
    passed = gain / (gain + (strengths[:, None] ** 2) * gain.max())
    misfit = ((1 - passed) ** 2 * power).sum(axis=1)
    if choice == "gcv":
        return int(np.argmin(misfit / (1 - passed).sum(axis=1) ** 2))
    size = (passed**2 / gain * power).sum(axis=1)
    points = np.log(np.stack([misfit, size], axis=1))
    before, after = np.diff(points[:-1], axis=0), np.diff(points[1:], axis=0)
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    sides = [np.linalg.norm(side, axis=1) for side in (before, after, before + after)]
    return int(np.argmax(cross / np.prod(sides, axis=0))) + 1


def test_unit_of_the_curves_does_not_matter(rng: np.random.Generator) -> None:
    curves, aif = _noisy(rng), artery(TIMES)
    plain, scaled = (deconvolve("tikhonov", f * curves, f * aif, STEP, cpu(1)) for f in (1.0, 1000.0))
    np.testing.assert_allclose(scaled["cbf"], plain["cbf"], rtol=1e-4)


def test_blood_flow_of_osipi_s_curves() -> None:
    found = osipi().deconvolve("tikhonov", cpu(2))
    assert np.abs(found["cbf"] / osipi().cbf - 1).mean() <= 0.19


def test_range_of_lambda_that_is_empty_is_refused() -> None:
    with pytest.raises(UsageError, match="smallest"):
        parse_params(get_method("deconvolution", "tikhonov"), {"smallest": 1.0, "largest": 0.5})
