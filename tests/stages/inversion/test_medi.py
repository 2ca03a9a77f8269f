"""MEDI: its functional, the morphology prior, MERIT, SMV and the CSF reference."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.merit import MERIT_RESIDUAL, MERIT_WEIGHT
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.inversion.fansi_tv import FansiTvParams, fansi_tv
from qsmengine.stages.inversion.medi import MediParams, medi
from tests.stages.inversion.heads import SHAPE, convolve, dipole, head, nrmse

RADIANS = 2 * np.pi * 42.576 * 3.0 * 0.02


def invert(field, mask, grid, device, callback=None, **options):
    inputs = {name: options.pop(name, None) for name in ("magnitude", "weight", "r2star")}
    options.setdefault("iterations", 60)
    result = medi(field, mask, grid, MediParams(**options), device=device, callback=callback, **inputs)
    return to_numpy(result).astype(float)


def magnitude_of(chi, rng, echoes=2):
    """Two echoes whose sum of squares has its edges where chi has."""
    base = 100 + 400 * chi[..., None] * np.arange(1, echoes + 1)
    return (base + 0.01 * rng.standard_normal(base.shape)).astype(np.float32)


class Functional:
    """The functional on a periodic grid that the mask fills, and its published solver."""

    def __init__(self, field, weight, d, lam, spacing):
        self.field, self.weight, self.d, self.lam, self.spacing = field, weight, d, lam, spacing

    def gradients(self, x):
        """Differences of neighbours per mm; 0 for the last voxels, which have none ahead."""
        parts = [(np.roll(x, -1, a) - x) / h for a, h in enumerate(self.spacing)]
        for axis, part in enumerate(parts):
            part.swapaxes(0, axis)[-1] = 0
        return parts

    def adjoint(self, parts):
        return sum((np.roll(p, 1, a) - p) / h for (a, h), p in zip(enumerate(self.spacing), parts, strict=True))

    def value(self, x, epsilon=0.0):
        error = RADIANS * (convolve(x, self.d) - self.field)
        variation = sum(np.sqrt(g**2 + epsilon).sum() for g in self.gradients(x))
        return (self.weight**2 * (1 - np.cos(error))).sum() / RADIANS**2 + self.lam * variation

    def slope(self, x, epsilon):
        error = np.sin(RADIANS * (convolve(x, self.d) - self.field)) / RADIANS
        parts = [g / np.sqrt(g**2 + epsilon) for g in self.gradients(x)]
        return convolve(self.weight**2 * error, self.d) + self.lam * self.adjoint(parts)

    def curvature(self, x, p, epsilon):
        v = [1 / np.sqrt(g**2 + epsilon) for g in self.gradients(x)]
        parts = [a * g for a, g in zip(v, self.gradients(p), strict=True)]
        return convolve(self.weight**2 * convolve(p, self.d), self.d) + self.lam * self.adjoint(parts)

    def gauss_newton(self, epsilon, steps=40):
        shape, x = self.field.shape, np.zeros(self.field.shape)
        for _ in range(steps):
            matvec = partial(lambda x, p: self.curvature(x, p.reshape(shape), epsilon).ravel(), x)
            operator = LinearOperator((x.size, x.size), matvec=matvec, dtype=float)
            step, _ = cg(operator, -self.slope(x, epsilon).ravel(), rtol=1e-3, maxiter=100)
            x = x + step.reshape(shape)
        return x


def problem(rng):
    shape, voxel, b0 = (12, 14, 18), (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)
    truth = np.zeros(shape)
    truth[3:8, 4:10, 5:12] = 0.1
    truth[6:10, 7:12, 9:15] -= 0.07
    field = convolve(truth, dipole(shape, voxel, b0)) + 0.002 * rng.standard_normal(shape)
    weight = rng.uniform(0.5, 1.5, shape)
    grid = Grid.from_voxel_size(shape, voxel, field_strength=3.0, b0_direction=b0)
    functional = Functional(field, weight / weight.mean(), dipole(shape, voxel, b0), 3e-4, voxel)
    return field, weight, grid, functional


def test_slope_of_the_functional_is_that_of_finite_differences(rng):
    *_, functional = problem(rng)
    x, direction = rng.standard_normal((2, *functional.field.shape)) * 0.1
    numeric = (
        functional.value(x + 1e-6 * direction, 1e-3) - functional.value(x - 1e-6 * direction, 1e-3)
    ) / 2e-6
    assert (functional.slope(x, 1e-3) * direction).sum() == pytest.approx(numeric, rel=1e-6)


def test_it_reaches_a_lower_value_than_gauss_newton_with_conjugate_gradients(device, rng):
    field, weight, grid, functional = problem(rng)
    mask = np.ones(field.shape, bool)
    options = {"lambda": 3e-4, "merit": 0, "margin": 0, "iterations": 1500, "tolerance": 0.0}
    found = invert(field, mask, grid, device, weight=weight, **options)
    published = functional.gauss_newton(1e-8)
    assert functional.value(found) <= functional.value(published) * (1 + 1e-4)
    for _ in range(10):
        other = found + 1e-3 * rng.standard_normal(found.shape)
        assert functional.value(other) > functional.value(found)


@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_noise_free_truth_is_recovered(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    estimate = invert(field, mask, grid, device, magnitude=magnitude_of(chi, rng), edges=0.05)
    assert nrmse(estimate, chi, mask) <= 0.08
    assert (estimate[~mask] == 0).all()


def test_edges_of_the_magnitude_spare_the_contrast_that_strong_regularisation_takes(device, rng):
    chi, mask, field, grid = head(rng)
    noisy = field + 0.003 * rng.standard_normal(SHAPE)
    options = {"lambda": 3e-4, "merit": 0}
    estimate = invert(noisy, mask, grid, device, magnitude=magnitude_of(chi, rng), edges=0.06, **options)
    without = to_numpy(fansi_tv(noisy, mask, grid, FansiTvParams(**{"lambda": 3e-4}), device=device))
    assert nrmse(estimate, chi, mask) <= 0.8 * nrmse(without, chi, mask)


def test_merit_lowers_the_weight_of_wrong_voxels(device, rng):
    chi, mask, field, grid = head(rng)
    wrong = field + 0.2 * (rng.random(SHAPE) < 0.002)
    plain = invert(wrong, mask, grid, device, merit=0)
    robust = invert(wrong, mask, grid, device, merit=2)
    assert nrmse(robust, chi, mask) <= 0.7 * nrmse(plain, chi, mask)


def test_merit_kernels_equal_their_formulas(device, rng):
    shape = (5, 6, 7)
    ax, f, w2 = rng.uniform(-0.5, 0.5, shape), rng.uniform(-0.5, 0.5, shape), rng.uniform(0, 2, shape)
    residual, weight2 = device.asarray(ax), device.asarray(w2)
    launch(MERIT_RESIDUAL, device, ax=residual, f=device.asarray(f), w2=weight2, radians=RADIANS)
    expected = np.sqrt(w2) * np.abs(np.exp(1j * RADIANS * ax) - np.exp(1j * RADIANS * f)) / RADIANS
    assert np.abs(to_numpy(residual) - expected).max() <= 1e-6
    launch(MERIT_WEIGHT, device, w2=weight2, residual=residual, inverse_cut=1 / 0.03)
    assert np.allclose(to_numpy(weight2), w2 / np.maximum(expected / 0.03, 1) ** 4, rtol=1e-4)


def test_smv_takes_a_harmonic_remnant_away_and_keeps_the_mask(device, rng):
    chi, mask, field, grid = head(rng)
    x, y, z = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) * n / 40 for n in SHAPE], indexing="ij"))
    spoilt = field + 0.05 * (x * x - y * y) + 0.04 * z
    plain = invert(spoilt, mask, grid, device, merit=0)
    filtered = invert(spoilt, mask, grid, device, merit=0, smv_radius=4.0)
    assert nrmse(filtered, chi, mask) <= 0.7 * nrmse(plain, chi, mask)
    assert (filtered[mask] != 0).mean() > 0.99


def test_csf_is_uniform_and_the_zero_reference(device, rng):
    _, mask, field, grid = head(rng)
    r2star = np.full(SHAPE, 20.0)
    r2star[tuple(slice(n // 2 - 5, n // 2 + 6) for n in SHAPE)] = 2.0
    centre = tuple(slice(n // 2 - 2, n // 2 + 3) for n in SHAPE)
    noisy = field + 0.01 * rng.standard_normal(SHAPE)
    plain = invert(noisy, mask, grid, device, merit=0)
    pulled = invert(noisy, mask, grid, device, merit=0, r2star=r2star, lambda_csf=0.1)
    assert abs(pulled[centre].mean()) < 2e-3
    assert pulled[centre].std() < 0.5 * plain[centre].std()


def test_small_phases_do_not_feel_field_strength_and_echo_time(device, rng):
    _, mask, field, grid = head(rng)
    first = invert(1e-2 * field, mask, grid, device, iterations=30, merit=0)
    strong = grid.replace(field_strength=7.0)
    second = invert(1e-2 * field, mask, strong, device, iterations=30, merit=0, echo_time=0.01)
    assert np.abs(first - second).max() <= 1e-3 * np.abs(first).max()


def test_every_solution_is_reported_and_can_be_stopped(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, iterations=15, tolerance=0.0, merit=1)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None), (15, "iterations")] * 2
    seen = []
    invert(field, mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert len(seen) == 1


def test_missing_field_strength_and_r2star_are_named(device, rng):
    _, mask, field, grid = head(rng)
    with pytest.raises(InputError, match="field strength"):
        invert(field, mask, grid.replace(field_strength=None), device)
    with pytest.raises(InputError, match="R2"):
        invert(field, mask, grid, device, lambda_csf=0.1)
