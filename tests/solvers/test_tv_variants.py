"""Total variation with data in k-space, and with a harmonic field: the results are minima."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tv import TV_HARMONIC_KSPACE_STEP
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.gradient import laplacian_spectra
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tv_admm import PhaseError, TvProblem, solve_tv, squared_error
from qsmengine.solvers.tv_harmonic import HarmonicTerm, solve_tv_harmonic
from qsmengine.solvers.tv_spectral import SpectralTvProblem, solve_tv_spectral
from qsmengine.solvers.uniform import UniformRegion, UniformRegions

SHAPE, SPACING = (16, 14, 18), (1.0, 0.8, 2.0)


def total_variation(x):
    return sum(np.abs(np.roll(x, -1, a) - x).sum() / h for a, h in enumerate(SPACING))


def convolve(x, response):
    return np.fft.irfftn(np.fft.rfftn(x) * response, s=x.shape, axes=(0, 1, 2))


def blocks(shape=SHAPE):
    truth = np.zeros(shape)
    truth[4:10, 3:9, 5:12] = 0.1
    truth[7:12, 6:11, 8:15] -= 0.07
    return truth - truth.mean()


def spectral_problem(device, lam):
    response = dipole_response(SHAPE, SPACING, (0.0, 0.6, 0.8), device)
    known = (abs(response) > 0.1).astype(np.float32)
    target = convolve(blocks(), to_numpy(known).astype(float))
    return SpectralTvProblem(known, device.asarray(target), SPACING, lam), to_numpy(known).astype(float)


def test_spectral_result_is_a_minimum(device, rng):
    problem, known = spectral_problem(device, 1e-3)
    x, _ = solve_tv_spectral(problem, device, Stopping(800, 0.0), mu_gradient=0.02)
    x, target = to_numpy(x).astype(float), to_numpy(problem.target).astype(float)

    def value(x):
        return 0.5 * (convolve(x - target, known) ** 2).sum() + problem.lam * total_variation(x)

    best = value(x)
    for scale in (1e-3, 1e-2):
        for _ in range(20):
            assert value(x + scale * rng.standard_normal(SHAPE)) > best * (1 - 1e-5)
    assert value(0.98 * x) > best * (1 - 1e-5)
    assert value(1.02 * x) > best * (1 - 1e-5)
    assert value(target) > best


def test_unknown_bins_are_filled_in(device):
    problem, _ = spectral_problem(device, 1e-5)
    x, status = solve_tv_spectral(problem, device, Stopping(600, 1e-5), mu_gradient=1e-3)
    truth, start = blocks(), to_numpy(problem.target)
    assert np.linalg.norm(to_numpy(x) - truth) <= 0.05 * np.linalg.norm(start - truth)
    assert status.iteration >= 10
    assert status.reason in {"converged", "iterations"}


def test_it_never_stops_after_a_single_iteration(device):
    problem, _ = spectral_problem(device, 1e-5)
    seen: list[Any] = []
    stopping = Stopping(50, 1e9, callback=seen.append)
    _, status = solve_tv_spectral(problem, device, stopping, mu_gradient=1e-3)
    assert status.iteration == 10
    assert seen == [status]


@pytest.mark.parametrize("relax", [0.0, 0.7])
@pytest.mark.parametrize(("zero_mean", "pull"), [(False, 0.0), (True, 0.0), (False, 0.7)])
def test_harmonic_kspace_step_solves_the_normal_equations(zero_mean, pull, relax, device, rng):
    half = (SHAPE[0], SHAPE[1], SHAPE[2] // 2 + 1)
    g, d, c = (rng.standard_normal((3, *half)) + 1j * rng.standard_normal((3, *half))).astype(np.complex64)
    if zero_mean:
        g[0, 0, 0] = c[0, 0, 0] = 0
    response = dipole_response(SHAPE, SPACING, (0.0, 0.6, 0.8), device)
    ex, ey, ez = laplacian_spectra(SHAPE, SPACING, device)
    mu1, mu2, mu3 = 0.03, 0.4, 2.0
    arrays = {
        n: device.asarray(v.copy(), np.complex64)
        for n, v in zip(("gradient", "data", "harmonic"), (g, d, c), strict=True)
    }
    launch(
        TV_HARMONIC_KSPACE_STEP, device, **arrays, response=response, ex=ex, ey=ey, ez=ez,
        mu1=mu1, mu2=mu2, mu3=mu3, pull=pull, relax=relax, scale=0.5,
    )  # fmt: skip
    a = to_numpy(response).astype(float)
    e = sum(
        to_numpy(v).astype(float).reshape(s)
        for v, s in zip((ex, ey, ez), ((-1, 1, 1), (-1, 1), (-1,)), strict=True)
    )
    normal = np.stack(
        [np.stack([mu1 * (e + pull) + mu2 * a * a, mu2 * a], -1), np.stack([mu2 * a, mu2 + mu3 * e * e], -1)],
        -2,
    )
    right = np.stack([mu1 * g + mu2 * a * d, mu2 * d - mu3 * e * c], -1)
    x, h = np.moveaxis(np.linalg.pinv(normal) @ right[..., None], -2, 0)[..., 0] * 0.5
    results = {n: to_numpy(v) for n, v in arrays.items()}
    size = np.abs(x).max()
    assert np.abs(results["gradient"] - x).ravel()[1:].max() <= 1e-4 * size
    field = (1 + relax) * (a * x + h) - relax * 0.5 * d
    laplacian = -(1 + relax) * e * h - relax * 0.5 * c
    assert np.abs(results["data"] - field).max() <= 1e-4 * np.abs(field).max()
    assert np.abs(results["harmonic"] - laplacian).max() <= 1e-4 * np.abs(laplacian).max()
    mean = 0.5 * g[0, 0, 0] / pull if pull else 0
    assert results["gradient"][0, 0, 0] == pytest.approx(mean, rel=1e-5)


def harmonic_problem(device, rng, lam, data_step=squared_error, shape=SHAPE):
    """Field of blocks in the middle, with a harmonic field on top, seen inside a region."""
    response = dipole_response(shape, SPACING, (0.0, 0.6, 0.8), device)
    x, y, z = np.meshgrid(
        *[(np.arange(n) - n / 2) * h for n, h in zip(shape, SPACING, strict=True)], indexing="ij"
    )
    region = np.zeros(shape)
    region[2:-2, 2:-2, 2:-2] = 1
    remnant = 4e-4 * (x * x - y * y) + 1e-3 * z + 5e-4 * x * y
    field = (convolve(blocks(shape), to_numpy(response).astype(float)) + remnant) * region
    weight = device.asarray(region * rng.uniform(0.8, 1.2, shape))
    return TvProblem(response, device.asarray(field), weight, SPACING, lam, data_step), device.asarray(region)


@pytest.mark.parametrize("loss", ["squared", "phase"])
def test_a_harmonic_remnant_is_taken_away(loss, device, rng):
    step = squared_error if loss == "squared" else PhaseError(16.0)
    problem, region = harmonic_problem(device, rng, 1e-5, step)
    stopping = Stopping(600, 0.0)
    options: dict[str, Any] = {"mu_gradient": 5e-3, "mu_data": 0.3}
    truth, inside = blocks(), to_numpy(region) > 0

    def error(x):
        e = to_numpy(x)[inside] - truth[inside]
        return np.linalg.norm(e - e.mean()) / np.linalg.norm(truth[inside])

    plain = error(solve_tv(problem, device, stopping, **options))
    with_term = error(
        solve_tv_harmonic(problem, HarmonicTerm(region, 50.0), device, stopping, mu_harmonic=1.0, **options)
    )
    assert with_term < 0.5 * plain


def test_harmonic_result_is_a_minimum_over_x_and_h(device, rng):
    problem, region = harmonic_problem(device, rng, 1e-3, shape=(8, 8, 10))
    stopping = Stopping(1200, 0.0)
    options: dict[str, Any] = {"mu_data": 0.3, "mu_harmonic": 1.0}
    results = [
        solve_tv_harmonic(problem, HarmonicTerm(region, 5.0), device, stopping, mu_gradient=mu, **options)
        for mu in (0.02, 0.05)
    ]
    x, other = (to_numpy(r).astype(float) for r in results)
    response, w2 = to_numpy(problem.response).astype(float), to_numpy(problem.weight).astype(float).ravel() ** 2
    unit = np.eye(x.size).reshape(-1, *x.shape)
    laplacian: Any = sum(
        (np.roll(unit, 1, a + 1) + np.roll(unit, -1, a + 1) - 2 * unit) / d**2 for a, d in enumerate(SPACING)
    )
    rows = to_numpy(region).astype(float).ravel()[:, None] * laplacian.reshape(x.size, x.size)
    best_h = np.linalg.pinv(np.diag(w2) + 5.0 * rows.T @ rows, rcond=1e-10, hermitian=True) * w2

    def value(x):
        """The objective at the best h for x."""
        rest = (to_numpy(problem.data) - convolve(x, response)).ravel()
        h = best_h @ rest
        fit = 0.5 * (w2 * (rest - h) ** 2).sum() + 2.5 * ((rows @ h) ** 2).sum()
        return fit + problem.lam * total_variation(x)

    best = value(x)
    assert value(other) == pytest.approx(best, rel=2e-3)
    for scale in (1e-3, 1e-2):
        for _ in range(5):
            assert value(x + scale * rng.standard_normal(x.shape)) > best
    assert value(0.97 * x) > best * (1 - 1e-4)
    assert value(1.03 * x) > best * (1 - 1e-4)


def test_a_region_is_pulled_to_its_mean_and_the_rest_is_free(device, rng):
    problem, region = harmonic_problem(device, rng, 1e-5)
    part = np.zeros(SHAPE, bool)
    part[5:9, 4:8, 6:11] = True
    part[9:12, 9:11, 11:14] = True
    options: dict[str, Any] = {"mu_gradient": 5e-3, "mu_data": 0.3, "mu_harmonic": 1.0}
    term = HarmonicTerm(region, 50.0)
    free, tied = (
        to_numpy(solve_tv_harmonic(problem, term, device, Stopping(300, 0.0), uniform=uniform, **options))
        for uniform in (None, UniformRegion(device.asarray(part, bool), 10.0, 5e-3))
    )
    assert tied[part].std() <= 0.1 * free[part].std()
    inside = to_numpy(region) > 0
    assert tied[inside & ~part].std() > 10 * tied[part].std()


def test_regions_are_pulled_each_to_its_own_mean(device, rng):
    problem, region = harmonic_problem(device, rng, 1e-5)
    parts = np.zeros((2, *SHAPE), bool)
    parts[0, 5:9, 4:8, 6:11] = True
    parts[1, 9:12, 9:11, 11:14] = True
    options: dict[str, Any] = {"mu_gradient": 5e-3, "mu_data": 0.3, "mu_harmonic": 1.0}
    uniform = UniformRegions([(device.asarray(part, bool), 10.0) for part in parts], 5e-3)
    term = HarmonicTerm(region, 50.0)
    free, tied = (
        to_numpy(solve_tv_harmonic(problem, term, device, Stopping(300, 0.0), uniform=regions, **options))
        for regions in (None, uniform)
    )
    means = [tied[part].mean() for part in parts]
    for part in parts:
        assert tied[part].std() <= 0.1 * free[part].std()
        assert tied[part].std() <= 0.1 * abs(means[1] - means[0])
