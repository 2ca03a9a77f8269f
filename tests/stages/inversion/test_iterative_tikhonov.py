"""Iterative Tikhonov inversion: the exact minimiser, truth, weights, stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.grid import Grid
from qsmengine.stages.inversion.closed_form_l2 import ClosedFormL2Params, closed_form_l2
from qsmengine.stages.inversion.iterative_tikhonov import IterativeTikhonovParams, iterative_tikhonov
from tests.stages.inversion.heads import SHAPE, convolve, dipole, gradient_energy, head, nrmse

VOXEL, B0 = (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)


def invert(field, mask, grid, device, weight=None, callback=None, **params):
    settings = IterativeTikhonovParams(**params)
    result = iterative_tikhonov(field, mask, grid, settings, device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


def matrix(shape, response):
    """The convolution as a dense matrix."""
    kernel = np.fft.ifftn(response).real
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    difference = (index[:, None] - index[None]) % np.array(shape)
    return kernel[tuple(np.moveaxis(difference, -1, 0))]


@pytest.mark.parametrize("regulariser", ["identity", "gradient"])
def test_it_equals_the_solution_of_the_dense_normal_equations(regulariser, device, rng):
    shape = (8, 6, 10)
    assert fast_shape(shape) == shape
    grid = Grid.from_voxel_size(shape, VOXEL, b0_direction=B0)
    field, weight = rng.standard_normal(shape), rng.uniform(0.2, 5, shape)
    mask = rng.random(shape) > 0.3
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    result = invert(
        field, mask, grid, device, weight, regulariser=regulariser, iterations=300, tolerance=1e-6, margin=0,
        **{"lambda": 0.02},
    )  # fmt: skip
    w2 = (mask * weight / weight[mask].mean()).ravel() ** 2
    a = matrix(shape, dipole(shape, VOXEL, B0))
    penalty = np.ones(shape) if regulariser == "identity" else gradient_energy(shape, VOXEL)
    normal = a.T @ (w2[:, None] * a) + 0.02 * matrix(shape, penalty)
    chi = np.linalg.lstsq(normal, a.T @ (w2 * field.ravel()), rcond=1e-10)[0].reshape(shape)
    assert np.abs(result - chi * mask).max() <= 1e-4 * np.abs(chi).max()


def test_with_a_full_mask_it_is_the_closed_form(device, rng):
    shape = (12, 14, 18)
    grid = Grid.from_voxel_size(shape, VOXEL, b0_direction=B0)
    field, mask = rng.standard_normal(shape), np.ones(shape, bool)
    settings = ClosedFormL2Params(**{"lambda": 0.03, "margin": 0})
    direct = to_numpy(closed_form_l2(field, mask, grid, settings, device=device))
    iterated = invert(field, mask, grid, device, tolerance=1e-6, margin=0, **{"lambda": 0.03})
    assert np.abs(iterated - direct).max() <= 1e-5 * np.abs(direct).max() + 1e-6


@pytest.mark.parametrize(("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), (VOXEL, B0)])
def test_it_recovers_what_the_dipole_does_not_suppress(voxel, b0, device, rng):
    shape = (12, 14, 18)
    grid = Grid.from_voxel_size(shape, voxel, b0_direction=b0)
    d = dipole(shape, voxel, b0)
    chi = convolve(rng.standard_normal(shape), np.abs(d) > 0.1)
    settings = {"lambda": 1e-8, "iterations": 400, "tolerance": 1e-6, "margin": 0}
    estimate = invert(convolve(chi, d), np.ones(shape, bool), grid, device, **settings)
    assert np.abs(estimate - chi).max() <= 1e-3 * np.abs(chi).max()


def test_weights_are_believed_and_their_unit_does_not_matter(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(noisy, mask, grid, device)
    weighted = invert(noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < 0.8 * nrmse(flat, chi, mask)
    scaled = invert(noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5


def test_it_tells_how_it_stopped_and_can_be_stopped(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, iterations=400, tolerance=1e-3)
    assert seen[-1].reason == "converged"
    assert seen[-1].residual <= 1e-3 < seen[-2].residual
    seen = []
    invert(field, mask, grid, device, callback=lambda s: seen.append(s) or False, tolerance=0.0)
    assert len(seen) == 1
