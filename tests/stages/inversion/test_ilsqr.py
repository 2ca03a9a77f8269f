"""iLSQR: against its formula with SciPy's LSQR, its streaks, its weights, its stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, lsqr

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.grid import Grid
from qsmengine.stages.inversion.ilsqr import IlsqrParams, ilsqr
from qsmengine.stages.inversion.tkd import TkdParams, tkd
from tests.stages.inversion.heads import SHAPE, convolve, dipole, gradient, head, nrmse


def invert(field, mask, grid, device, weight=None, callback=None, **params):
    result = ilsqr(field, mask, grid, IlsqrParams(**params), device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


def falling(values, region, percentiles):
    low, high = np.percentile(values[region], percentiles)
    return np.where(region, np.clip((high - values) / (high - low), 0, 1), 0)


def laplacian_in(field, mask, voxel):
    total = np.zeros(field.shape)
    for axis, h in enumerate(voxel):
        for shift in (1, -1):
            neighbour, inside = np.roll(field, shift, axis), np.roll(mask, shift, axis).copy()
            edge: list[Any] = [slice(None)] * 3
            edge[axis] = 0 if shift == 1 else -1
            inside[tuple(edge)] = False
            total += np.where(mask & inside, neighbour - field, 0) / h**2
    return total


def sphere(shape, voxel, radius):
    position = [np.minimum(np.arange(n), n - np.arange(n)) * h for n, h in zip(shape, voxel, strict=True)]
    distance2 = sum(p**2 for p in np.meshgrid(*position, indexing="ij"))
    inside = (distance2 <= radius**2 * (1 + 1e-6)).astype(float)
    return np.fft.fftn(inside / inside.sum()).real


def solve(forward, adjoint, right, shape, iterations):
    size = int(np.prod(shape))
    operator = LinearOperator(
        (right.size, size),
        matvec=lambda x: forward(x.reshape(shape)).ravel(),
        rmatvec=lambda r: adjoint(r.reshape(right.shape)).ravel(),
    )
    return lsqr(operator, right.ravel(), atol=0, btol=0, conlim=0, iter_lim=iterations)[0].reshape(shape)


def formula(field, mask, weight, d, voxel, cone, iterations):
    w = (
        mask
        * weight
        / weight[mask].mean()
        * falling(np.abs(laplacian_in(field, mask, voxel)), mask, (60, 99.9))
    )
    first = solve(
        lambda x: w * convolve(x, d), lambda r: convolve(w * r, d), w * field, field.shape, iterations
    )  # fmt: skip
    share = np.log(np.maximum(np.abs(d), 1e-9) / 0.0058) / np.log(0.167 / 0.0058)
    share = np.clip(share, 0, 1)
    smooth = share + (1 - share) * sphere(field.shape, voxel, 3.0)
    sign = np.where(np.abs(d) > 1e-6, np.sign(d), 0)
    picture = mask * convolve(mask * convolve(field, smooth * sign), smooth)
    both = [mask & np.roll(mask, -1, axis) for axis in range(3)]
    steps = np.abs(gradient(picture, voxel))
    g = np.stack([falling(s, b, (50, 70)) for s, b in zip(steps, both, strict=True)])
    low = (np.abs(d) < cone).astype(float)

    def adjoint(r):
        return convolve(sum((np.roll(r[a] * g[a], 1, a) - r[a] * g[a]) / h for a, h in enumerate(voxel)), low)

    def forward(x):
        return g * gradient(convolve(x, low), voxel)

    streaks = solve(forward, adjoint, g * gradient(first, voxel), field.shape, iterations)
    return mask * (first - streaks), mask * first


def test_it_equals_its_formula(device, rng):
    shape, voxel, b0 = (12, 14, 18), (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)
    assert fast_shape(shape) == shape
    grid = Grid.from_voxel_size(shape, voxel, field_strength=3.0, b0_direction=b0)
    mask = rng.random(shape) > 0.1
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    weight, field = rng.uniform(0.5, 1.5, shape), 0.05 * rng.standard_normal(shape)
    result = invert(field, mask, grid, device, weight, cone=0.1234, iterations=6, tolerance=0.0, margin=0)
    expected, first = formula(
        np.where(mask, field, 0), mask, weight, dipole(shape, voxel, b0), voxel, 0.1234, 6
    )
    assert np.abs(expected - first).max() > 0.01
    assert np.abs(result - expected).max() <= 2e-5


@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_streaks_are_taken_away(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    noisy = field + 1e-3 * rng.standard_normal(SHAPE)
    estimate = invert(noisy, mask, grid, device)
    kept = invert(noisy, mask, grid, device, cone=1e-6)
    direct = to_numpy(tkd(noisy, mask, grid, TkdParams(), device=device))
    assert nrmse(estimate, chi, mask) < 0.8 * nrmse(kept, chi, mask)
    assert nrmse(estimate, chi, mask) < nrmse(direct, chi, mask)
    assert (estimate[~mask] == 0).all()


def test_weights_are_believed_and_their_unit_does_not_matter(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(noisy, mask, grid, device)
    weighted = invert(noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < nrmse(flat, chi, mask)
    scaled = invert(noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5


def test_it_tells_how_both_solvers_stopped_and_can_be_stopped(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, iterations=7, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen] == [(5, None), (7, "iterations")] * 2
    seen = []
    invert(field, mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert [(s.iteration, s.reason) for s in seen] == [(5, None)] * 2
    assert all(0 < s.residual < 1 for s in seen)


def test_a_field_without_variation_gives_no_susceptibility(device):
    grid = Grid.from_voxel_size((12, 12, 12), (1.0, 1.0, 1.0), field_strength=3.0)
    mask = np.zeros(grid.shape, bool)
    mask[5, 5, 5] = True
    assert (invert(np.zeros(grid.shape), mask, grid, device) == 0).all()
