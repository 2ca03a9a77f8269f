"""Free-water tensor: exactness, parity with DIPY, bounds, voxels of water, single shells."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.free_water import FreeWaterParams, free_water
from tests.stages.diffusion.tensors import full, gradient_table, random_tensors, signals, six

WATER = 3e-3


def mixture(tensors, share, s0, b, g):
    tissue = signals(tensors, np.ones(len(tensors)), b, g)
    return s0[:, None] * ((1 - share)[:, None] * tissue + share[:, None] * np.exp(-b * WATER))


def fit(signal, b, g, params=None, *, device=None):
    count = len(signal)
    grid = Grid.from_voxel_size((count, 1, 1), (2.0, 2.0, 2.0))
    image = np.asarray(signal, np.float32).reshape(count, 1, 1, -1)
    mask = np.ones(grid.shape, bool)
    result = free_water(image, mask, b, g, grid, params or FreeWaterParams(), device=device or cpu(2))
    maps = {name: to_numpy(m).reshape(count, *m.shape[3:]) for name, m in vars(result).items()}
    return type(result)(**maps)


def noisy(rng, count, level, low=0.0):
    b, g = gradient_table(rng, 30, (500.0, 1500.0))
    tensors, s0 = random_tensors(rng, count, 0.2e-3, 1.6e-3), rng.uniform(300, 1500, count)
    clean = mixture(tensors, rng.uniform(low, 0.8, count), s0, b, g)
    noise = level * s0[:, None] * rng.normal(size=(2, *clean.shape))
    return np.hypot(clean + noise[0], noise[1]).astype(np.float32), b, g


@pytest.mark.parametrize("b_values", [(500.0, 1500.0), (700.0, 1000.0, 2500.0)])
def test_noise_free_signals_give_water_and_tissue_back(device, rng, b_values):
    b, g = gradient_table(rng, 32, b_values)
    tensors, s0 = random_tensors(rng, 500, 0.2e-3, 1.6e-3), rng.uniform(50, 5000, 500)
    share = rng.uniform(0.0, 0.8, 500)
    share[:20] = 0.0
    r = fit(mixture(tensors, share, s0, b, g), b, g, device=device)
    np.testing.assert_allclose(r.free_water, share, atol=1e-5)
    np.testing.assert_allclose(r.s0, s0, rtol=1e-5)
    assert (np.abs(r.tensor - six(tensors)).max(axis=1) / np.linalg.norm(tensors, axis=(1, 2))).max() < 2e-5
    assert (r.status == 1).all()


def test_agrees_with_dipy(rng):
    gradients = pytest.importorskip("dipy.core.gradients")
    from dipy.reconst.fwdti import FreeWaterTensorModel

    signal, b, g = noisy(rng, 40, 0.02, low=0.1)
    r = fit(signal, b, g)
    peer = FreeWaterTensorModel(gradients.gradient_table(b, bvecs=g), fit_method="NLS").fit(signal)
    np.testing.assert_allclose(r.free_water, peer.f, atol=1e-3)
    np.testing.assert_allclose(r.fa, peer.fa, atol=1e-3)
    np.testing.assert_allclose(r.md, peer.md, atol=2e-6)


def test_result_is_a_minimum_and_water_is_not_negative(device, rng):
    signal, b, g = noisy(rng, 200, 0.04)
    r = fit(signal, b, g, device=device)
    assert r.free_water.min() >= 0.0
    assert 0.005 < (r.free_water < 1e-7).mean() < 0.5

    def cost(tensors, share, s0):
        return ((signal - mixture(tensors, share, s0, b, g)) ** 2).sum(axis=1)

    tensors, share, s0 = full(r.tensor.astype(float)), r.free_water.astype(float), r.s0.astype(float)
    best = cost(tensors, share, s0)
    np.testing.assert_allclose(np.sqrt(best / (len(b) - 8)), r.sigma, rtol=1e-3)
    for _ in range(30):
        away = 2e-5 * full(rng.normal(size=(200, 6)))
        near = cost(tensors + away, np.maximum(share + 0.01 * rng.normal(size=200), 0), s0)
        assert (near >= best * (1 - 1e-5)).all()


def test_voxels_of_water_are_named(rng):
    b, g = gradient_table(rng, 30, (500.0, 1500.0))
    tensors = np.stack([WATER * np.eye(3), 0.8e-3 * np.eye(3)])
    signal = signals(tensors, np.array([900.0, 700.0]), b, g)
    signal = np.concatenate([signal, np.zeros((1, len(b)))])
    r = fit(signal, b, g)
    np.testing.assert_array_equal(r.status, [6, 1, 3])
    np.testing.assert_allclose(r.free_water, [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(r.s0, [900, 700, 0], rtol=1e-5)
    assert (r.tensor[0] == 0).all()


def test_one_shell_is_refused(rng):
    b, g = gradient_table(rng, 30)
    with pytest.raises(InputError, match=r"one shell \(b = 1000 s/mm\^2\) .* two shells are needed"):
        fit(np.ones((1, len(b))), b, g)
