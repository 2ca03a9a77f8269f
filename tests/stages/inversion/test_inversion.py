"""Dipole inversion: TKD against its formula, weighted TV against truth and against TKD."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.grid import Grid
from qsmengine.stages.inversion.tkd import TkdParams, tkd
from qsmengine.stages.inversion.weighted_tv import WeightedTvParams, weighted_tv
from tests.stages.inversion.heads import SHAPE, convolve, dipole, head, nrmse

SHARP = WeightedTvParams(point_spread=0.0)
"""For heads whose voxels are of one tissue each."""


def test_tkd_equals_its_formula(device, rng):
    field = rng.standard_normal((12, 14, 18))
    mask = np.ones(field.shape, bool)
    grid = Grid.from_voxel_size(field.shape, (1.0, 1.5, 2.0), b0_direction=(0.0, 0.6, 0.8))
    chi = to_numpy(
        tkd(device.asarray(field), mask, grid, TkdParams(threshold=0.2, rescale=False, margin=0), device=device)
    )
    shape = fast_shape(field.shape)
    assert shape == (12, 14, 18)
    d = dipole(shape, grid.voxel_size, grid.b0_direction)
    cone = np.abs(d) < 1e-6
    inverse = np.where(np.abs(d) > 0.2, 1 / np.where(cone, 1, d), np.where(cone, 0, np.sign(d)) / 0.2)
    expected = convolve(field, inverse)
    near = np.abs(np.abs(d) - 0.2) < 1e-6
    assert not near.any()
    assert np.abs(chi - expected).max() <= 2e-4


def test_rescaling_undoes_the_underestimation(device, rng):
    chi, mask, field, grid = head(rng)
    plain = to_numpy(tkd(field, mask, grid, TkdParams(rescale=False), device=device))
    scaled = to_numpy(tkd(field, mask, grid, TkdParams(), device=device))

    def slope(estimate):
        return np.polyfit(chi[mask], estimate[mask], 1)[0]

    assert abs(1 - slope(scaled)) < abs(1 - slope(plain))


@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_weighted_tv_recovers_a_noise_free_head(device, rng, voxel, b0):
    chi, mask, field, grid = head(rng, voxel, b0)
    tv = to_numpy(weighted_tv(field, mask, grid, SHARP, device=device))
    direct = to_numpy(tkd(field, mask, grid, TkdParams(), device=device))
    assert nrmse(tv, chi, mask) <= 0.08
    assert nrmse(tv, chi, mask) <= 0.3 * nrmse(direct, chi, mask)
    assert (tv[~mask] == 0).all()


def test_weighted_tv_believes_its_weights(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = to_numpy(weighted_tv(noisy, mask, grid, SHARP, device=device))
    weighted = to_numpy(weighted_tv(noisy, mask, grid, SHARP, device=device, weight=1 / noise))
    assert nrmse(weighted, chi, mask) < 0.5 * nrmse(flat, chi, mask)


def test_the_unit_of_the_weights_does_not_matter(device, rng):
    _, mask, field, grid = head(rng)
    params = WeightedTvParams(iterations=20)
    weight = rng.uniform(0.5, 2, SHAPE)
    first = weighted_tv(field, mask, grid, params, device=device, weight=weight)
    second = weighted_tv(field, mask, grid, params, device=device, weight=1000 * weight)
    assert np.abs(to_numpy(first) - to_numpy(second)).max() <= 1e-5


def test_lambda_is_given_by_its_name():
    assert WeightedTvParams(**{"lambda": 1e-3}).lam == 1e-3
    with pytest.raises(ValidationError):
        WeightedTvParams(**{"lambda": -1.0})


@pytest.mark.parametrize("sigma", [0.002, 0.01])
def test_weighted_tv_estimates_noise_that_is_not_given(sigma, device, rng):
    _, mask, field, grid = head(rng)
    noisy = field + sigma * rng.standard_normal(SHAPE)
    noise = device.asarray(np.full(SHAPE, sigma))
    told = to_numpy(weighted_tv(noisy, mask, grid, SHARP, device=device, noise=noise))
    found = to_numpy(weighted_tv(noisy, mask, grid, SHARP, device=device))
    assert nrmse(found, told, mask) < 0.1


def test_edges_of_a_first_chi_keep_the_contrast_that_total_variation_lowers(device, rng):
    chi, mask, field, grid = head(rng)
    strong = {"lambda": 3e-4, "noise_gain": 0.0, "point_spread": 0.0}
    plain, free = (
        to_numpy(weighted_tv(field, mask, grid, WeightedTvParams(own_edges=e, **strong), device=device))
        for e in (0.0, 0.2)
    )
    assert nrmse(free, chi, mask) < 0.7 * nrmse(plain, chi, mask)


def test_noise_below_the_fine_structure_of_the_field_hardly_counts(device, rng):
    _, mask, field, grid = head(rng)
    none, little, much = (
        to_numpy(
            weighted_tv(field, mask, grid, WeightedTvParams(noise_gain=gain, iterations=30), device=device,
                        noise=device.asarray(np.full(SHAPE, sigma)))
        )
        for gain, sigma in ((0.0, 1e-5), (0.09, 1e-5), (0.09, 1e-3))
    )  # fmt: skip
    assert nrmse(little, none, mask) < 0.2 * nrmse(much, none, mask)


def test_the_point_spread_lowers_noise_between_voxels_and_keeps_contrast(device, rng):
    chi, mask, field, grid = head(rng)
    noisy = field + 0.004 * rng.standard_normal(SHAPE)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in SHAPE], indexing="ij")))
    energy, contrast = [], []
    for params in (SHARP, WeightedTvParams()):
        found = to_numpy(weighted_tv(noisy, mask, grid, params, device=device))
        energy.append((np.abs(np.fft.fftn(found))[k > 0.4] ** 2).sum())
        contrast.append(found[chi > 0.1].mean() - found[mask & (chi == 0)].mean())
    assert energy[1] < 0.5 * energy[0]
    assert contrast[1] == pytest.approx(contrast[0], rel=0.1)


def test_the_point_spread_of_large_voxels_is_limited(device, rng):
    _, mask, field, grid = head(rng, (3.0, 3.0, 3.0))
    one, other = (
        to_numpy(weighted_tv(field, mask, grid, WeightedTvParams(point_spread=s), device=device))
        for s in (0.25, 1.0)
    )
    assert np.abs(one - other).max() <= 1e-5
