"""The inversions with absolute errors: a few voxels that are wrong do little harm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.inversion.hd_qsm import HdQsmParams, hd_qsm
from qsmengine.stages.inversion.l1_qsm import L1QsmParams, l1_qsm
from qsmengine.stages.inversion.weighted_tv import WeightedTvParams, weighted_tv
from tests.stages.inversion.heads import SHAPE, convolve, dipole, gradient, gradient_energy, head, nrmse

METHODS: dict[str, Any] = {"l1_qsm": (l1_qsm, L1QsmParams), "hd_qsm": (hd_qsm, HdQsmParams)}
every = pytest.mark.parametrize("name", METHODS)
ECHO_TIME = 0.02
"""[s]: strongly nonlinear at the fields of these tests."""
RADIANS = 2 * np.pi * 42.576 * 3.0 * ECHO_TIME
"""Phase [rad] of 1 ppm at 3 T."""


def invert(name, field, mask, grid, device, weight=None, callback=None, **params):
    method, kind = METHODS[name]
    if "echo_time" in kind.model_fields:
        params = {"echo_time": ECHO_TIME, **params}
    result = method(field, mask, grid, kind(**params), device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


def admm(field, d, spacing, threshold, ratio, data_step, iterations, x=None):
    """Total variation by ADMM in double precision; `ratio` = mu_gradient / mu_data, data_step: s -> z."""
    energy = gradient_energy(field.shape, spacing)
    inverse = np.divide(
        1.0, ratio * energy + d * d, out=np.zeros(field.shape), where=ratio * energy + d * d > 0
    )
    x = np.zeros(field.shape) if x is None else x
    p, u, ax = np.zeros((3, *field.shape)), np.zeros(field.shape), convolve(x, d)
    for _ in range(iterations):
        g = gradient(x, spacing) + p
        z = np.sign(g) * np.maximum(np.abs(g) - threshold, 0)
        p = g - z
        q = z - p
        divergence = sum((np.roll(q[a], 1, a) - q[a]) / h for a, h in enumerate(spacing))
        s = ax + u
        fitted = data_step(s)
        u = s - fitted
        right = ratio * np.fft.fftn(divergence) + d * np.fft.fftn(fitted - u)
        spectrum = right * inverse
        x, ax = np.fft.ifftn(spectrum).real, np.fft.ifftn(spectrum * d).real
    return x


def small_case(rng):
    shape, voxel, b0 = (12, 14, 18), (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)
    assert fast_shape(shape) == shape
    grid = Grid.from_voxel_size(shape, voxel, field_strength=3.0, b0_direction=b0)
    mask = rng.random(shape) > 0.3
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    weight = rng.uniform(0.5, 1.5, shape)
    relative = mask * weight / weight[mask].mean()
    return 0.04 * rng.standard_normal(shape), mask, weight, relative, grid, dipole(shape, voxel, b0), voxel


def least_phase_error(s, f, w, mu):
    """z of least w |exp(i r z) - exp(i r f)| / r + mu / 2 (z - s)^2, by bisection where it is not f."""
    t = RADIANS * (s - f)
    kappa = RADIANS * w / mu
    low, high = np.zeros(s.shape), np.abs(t)
    for _ in range(60):
        middle = 0.5 * (low + high)
        over = middle + kappa * np.cos(0.5 * middle) > np.abs(t)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    theta = np.where(np.abs(t) <= kappa, 0, low)
    return f + np.sign(t) * theta / RADIANS


def test_l1_qsm_equals_its_formula(device, rng):
    field, mask, weight, relative, grid, d, voxel = small_case(rng)
    options = {"lambda": 0.05, "mu_gradient": 20.0, "mu_data": 60.0, "iterations": 6}
    result = invert("l1_qsm", field, mask, grid, device, weight, tolerance=0.0, margin=0, **options)
    f = np.where(mask, field, 0)
    x = admm(f, d, voxel, 0.05 / 20, 20 / 60, lambda s: least_phase_error(s, f, relative, 60.0), 6)
    assert np.abs(x).max() > 0.02
    assert np.abs(result - x * mask).max() <= 1e-5


def test_hd_qsm_equals_its_formula(device, rng):
    field, mask, weight, relative, grid, d, voxel = small_case(rng)
    options = {
        "lambda": 1e-3, "mu_gradient": 0.5, "mu_data": 0.8, "lambda_first": 0.04, "mu_gradient_first": 20.0,
        "mu_data_first": 50.0, "first_iterations": 5, "iterations": 4, "cutoff": 2.0,
    }  # fmt: skip
    result = invert("hd_qsm", field, mask, grid, device, weight, tolerance=0.0, margin=0, **options)
    f = np.where(mask, field, 0)

    def shrink(s):
        return f + np.sign(s - f) * np.maximum(np.abs(s - f) - relative / 50, 0)

    first = admm(f, d, voxel, 0.04 / 20, 20 / 50, shrink, 5)
    error = np.abs(relative * (convolve(first, d) - f))
    assert 0.02 < (error[mask] > 2 * error[mask].mean()).mean() < 0.3
    w2 = (relative * (1 - np.minimum(error / (2 * error[mask].mean()), 1))) ** 2
    x = admm(f, d, voxel, 1e-3 / 0.5, 0.5 / 0.8, lambda s: (w2 * f + 0.8 * s) / (w2 + 0.8), 4, first)
    assert np.abs(x - first).max() > 0.02
    assert np.abs(result - x * mask).max() <= 1e-5


@every
@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_noise_free_truth_is_recovered(name, voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    estimate = invert(name, field, mask, grid, device)
    assert nrmse(estimate, chi, mask) <= {"l1_qsm": 0.1, "hd_qsm": 0.15}[name]
    assert (estimate[~mask] == 0).all()


@every
def test_a_handful_of_corrupted_voxels_does_little_harm(name, device, rng):
    chi, mask, field, grid = head(rng)
    noisy = field + 5e-4 * rng.standard_normal(SHAPE)
    wrong = noisy.copy()
    inside = rng.choice(np.flatnonzero(mask), 30, replace=False)
    wrong.ravel()[inside] += rng.choice([-1, 1], 30) * rng.uniform(0.05, 0.12, 30)

    def harm(run):
        return nrmse(run(wrong), chi, mask) - nrmse(run(noisy), chi, mask)

    squared = harm(lambda f: to_numpy(weighted_tv(f, mask, grid, WeightedTvParams(), device=device)))
    assert squared > 0.1
    assert harm(lambda f: invert(name, f, mask, grid, device)) < 0.2 * squared


@every
def test_weights_are_believed_and_their_unit_does_not_matter(name, device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(name, noisy, mask, grid, device)
    weighted = invert(name, noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < nrmse(flat, chi, mask)
    scaled = invert(name, noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5


def test_l1_qsm_does_not_mind_whole_turns_and_the_size_of_the_field(device, rng):
    _, mask, field, grid = head(rng)
    options = {"iterations": 30, "tolerance": 0.0}
    plain = invert("l1_qsm", field, mask, grid, device, **options)
    turns = rng.integers(-3, 4, SHAPE)
    jumps = invert("l1_qsm", field + turns * 2 * np.pi / RADIANS, mask, grid, device, **options)
    assert np.abs(plain).max() > 0.05
    assert np.abs(jumps - plain).max() <= 5e-4 * np.abs(plain).max()
    small = {"mu_gradient": 8e3, "mu_data": 2e4, "echo_time": 1e-3, **options}
    scaled = invert("l1_qsm", 1e-2 * field, mask, grid, device, **small)
    linear = invert("l1_qsm", field, mask, grid, device, echo_time=1e-5, **options)
    assert np.abs(100 * scaled - linear).max() <= 1e-3 * np.abs(linear).max()


@every
def test_it_tells_how_it_stopped_and_can_be_stopped(name, device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(name, field, mask, grid, device, callback=seen.append, iterations=15, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen][-2:] == [(10, None), (15, "iterations")]
    seen = []
    invert(name, field, mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None)] * {"l1_qsm": 1, "hd_qsm": 2}[name]
    assert 0 < seen[0].residual < 1


def test_l1_qsm_needs_a_field_strength(device, rng):
    _, mask, field, grid = head(rng)
    with pytest.raises(InputError, match="field strength"):
        invert("l1_qsm", field, mask, grid.replace(field_strength=None), device)
