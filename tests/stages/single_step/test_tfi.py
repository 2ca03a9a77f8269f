"""Total field inversion: the background does no harm, whatever makes it, and chi is that of the inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.ops.morphology import without_boundary, without_layer
from qsmengine.stages.background.lbv import LbvParams, lbv
from qsmengine.stages.inversion.weak_harmonic import WeakHarmonicParams, weak_harmonic
from qsmengine.stages.single_step.tfi import TfiParams, tfi
from tests.stages.inversion.heads import SHAPE, convolve, dipole, head, nrmse

TILTED = ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))


def invert(field, mask, grid, device, callback=None, **options):
    inputs = {name: options.pop(name, None) for name in ("magnitude", "weight", "noise", "echo_times")}
    result = tfi(field, mask, grid, TfiParams(**options), device=device, callback=callback, **inputs)
    return [to_numpy(array) for array in result]


def background(grid):
    """A shim field and the fields of dipoles outside the head, many times the local field."""
    positions = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(SHAPE, grid.voxel_size, strict=True)]
    points = np.stack(np.meshgrid(*positions, indexing="ij"))
    x, y, z = points / 20
    total = 0.3 * (x * x - y * y) + 0.5 * z + 0.2 * y * z
    for place, moment in (((0, 10, 32), 800.0), ((-30, 5, 0), -600.0)):
        r = points - np.array(place)[:, None, None, None]
        r2 = (r**2).sum(0)
        total += moment * (3 * np.tensordot(grid.b0_direction, r, axes=1) ** 2 / r2 - 1) / r2**1.5
    return total


@pytest.mark.parametrize(("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), TILTED])
def test_truth_is_recovered_under_a_background_twenty_times_as_strong(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    outside = background(grid)
    assert outside[mask].std() > 10 * field[mask].std()
    estimate, _, inner = invert(field + outside, mask, grid, device)
    assert nrmse(estimate, chi, inner) <= 0.2
    assert not estimate[~inner].any()


def test_background_does_not_change_the_result_at_equal_weights(device, rng):
    _, mask, field, grid = head(rng)
    options = {"iterations": 40, "tolerance": 0.0, "boundary_tolerance": 1e-6, "field_error": 0.0}
    alone = invert(field, mask, grid, device, **options)[0]
    both = invert(field + background(grid), mask, grid, device, **options)[0]
    assert np.linalg.norm(alone - both) <= 0.05 * np.linalg.norm(alone)


def test_chi_in_a_hole_of_the_mask_follows_from_the_field_around_it(device, rng):
    chi, mask, field, grid = head(rng)
    centred = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    hole = (centred**2).sum(0) < 2.5**2
    chi = chi - 1.5 * hole
    field = (
        field + background(grid) - 1.5 * convolve(hole.astype(float), dipole(SHAPE, grid.voxel_size, (0, 0, 1)))
    )
    field[hole] = rng.normal(size=int(hole.sum()))
    estimate, _, inner = invert(field, mask & ~hole, grid, device)
    assert inner[hole].all()
    contrast = [x[hole].mean() - x[inner & ~hole].mean() for x in (estimate, chi)]
    assert contrast[0] == pytest.approx(contrast[1], rel=0.15)


def test_it_is_better_than_one_step_after_the_other(device, rng):
    chi, mask, field, grid = head(rng)
    total = field + background(grid) + 0.001 * rng.standard_normal(SHAPE)
    magnitude = (100 + 500 * chi)[..., None].astype(np.float32)
    estimate, _, _ = invert(total, mask, grid, device, magnitude=magnitude, edges=0.05, point_spread=0.0)
    local, own = lbv(total, mask, grid, LbvParams(), device=device)
    inner = to_numpy(own)
    params = WeakHarmonicParams(**{"lambda": TfiParams().lam})
    steps = to_numpy(weak_harmonic(local, own, grid, params, device=device))
    assert nrmse(estimate, chi, inner) <= 0.95 * nrmse(steps, chi, inner)


def test_veins_beneath_the_surface_are_found_under_the_background(device, rng):
    chi, mask, field, grid = head(rng)
    inner = to_numpy(without_boundary(device.asarray(mask, bool)))
    layer = mask & ~inner
    second = layer & to_numpy(without_layer(device.asarray(mask, bool)))
    vein = second & (np.indices(SHAPE)[0] % 12 < 2)
    chi = chi + 0.1 * vein
    field = field + 0.1 * convolve(vein.astype(float), dipole(SHAPE, grid.voxel_size, (0, 0, 1)))
    magnitude = np.where(vein, 60.0, 100.0)[..., None].astype(np.float32)
    estimate, _, own = invert(
        field + background(grid), mask, grid, device, magnitude=magnitude, edges=0.1, point_spread=0.0
    )
    assert (own == mask).all()
    error = (estimate - chi)[layer] - (estimate - chi)[inner].mean()
    nothing = -(chi[layer] - chi[inner].mean())
    assert np.linalg.norm(error) <= 0.8 * np.linalg.norm(nothing)


def test_wrong_fields_at_the_rim_do_not_reach_the_inside(device, rng):
    chi, mask, field, grid = head(rng)
    inner = to_numpy(without_boundary(device.asarray(mask, bool)))
    deep = inner.copy()
    for _ in range(3):
        deep = to_numpy(without_layer(device.asarray(deep, bool)))
    outer = np.argwhere(inner & ~to_numpy(without_layer(device.asarray(inner, bool))))
    wrong = np.zeros(SHAPE)
    wrong[tuple(rng.permutation(outer)[:40].T)] = rng.choice([-0.5, 0.5], 40)
    noise = np.full(SHAPE, 1e-3)
    options: dict[str, Any] = {"noise": noise, "weight": 1 / noise, "point_spread": 0.0}
    total = field + background(grid) + noise * rng.standard_normal(SHAPE)
    harm = [invert(total + wrong, mask, grid, device, field_error=share, **options)[0] for share in (0.0, 0.07)]
    clean = invert(total, mask, grid, device, **options)[0]
    assert nrmse(clean, chi, deep) <= 0.3
    assert nrmse(harm[1], chi, deep) <= nrmse(clean, chi, deep) + 0.05
    assert nrmse(harm[1], chi, deep) < 0.8 * nrmse(harm[0], chi, deep)


def test_fluid_of_the_whole_brain_is_uniform_and_takes_the_shading_away(device, rng):
    chi, mask, field, grid = head(rng)
    centred = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    radius = np.sqrt(((centred / np.array([16, 15, 13])[:, None, None, None]) ** 2).sum(0))
    fluid = mask & ((radius < 0.4) | ((chi == 0) & (radius > 0.85)))
    change = np.where(fluid, -chi, np.where(mask, 0.02, 0))
    chi = chi + change
    field = field + convolve(change, dipole(SHAPE, grid.voxel_size, (0, 0, 1)))
    total = field + background(grid) + 0.001 * rng.standard_normal(SHAPE)
    rate = np.where(fluid, 2.0, 20.0)
    magnitude = np.stack([100 * np.exp(-rate * t) for t in (0.005, 0.02)], -1).astype(np.float32)
    options: dict[str, Any] = {
        "magnitude": magnitude,
        "lambda_rim": 0.0,
        "point_spread": 0.0,
        "residual_spread": 0.0,
        "lambda": 1.5e-5,
        "noise_gain": 0.1,
        "iterations": 200,
    }
    free, tied = (invert(total, mask, grid, device, lambda_csf=weight, **options)[0] for weight in (0.0, 0.1))
    inner = to_numpy(without_boundary(device.asarray(mask, bool)))
    assert tied[fluid & inner].std() < 0.75 * free[fluid & inner].std()
    assert nrmse(tied, chi, inner) < nrmse(free, chi, inner)


def test_a_smaller_beta_makes_more_of_a_smooth_field_part_of_the_background(device, rng):
    chi, mask, field, grid = head(rng)
    positions = np.stack(np.meshgrid(*[(np.arange(n) - (n - 1) / 2) / 20 for n in SHAPE], indexing="ij"))
    total = field + background(grid) + 0.03 * (positions**2).sum(0)
    loose, strict = (nrmse(invert(total, mask, grid, device, beta=beta)[0], chi, mask) for beta in (0.5, 150.0))
    assert loose < 0.8 * strict


def test_local_field_is_that_of_chi(device, rng):
    _, mask, field, grid = head(rng)
    estimate, local, inner = invert(field, mask, grid, device, iterations=20)
    big = tuple(2 * n for n in SHAPE)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(n) for n in big], indexing="ij"))
    with np.errstate(invalid="ignore"):
        d = 1 / 3 - k[2] ** 2 / (k**2).sum(0)
    d[0, 0, 0] = 0
    expected = np.fft.ifftn(np.fft.fftn(estimate, s=big, axes=(0, 1, 2)) * d).real
    expected = expected[tuple(slice(0, n) for n in SHAPE)]
    difference = (local - expected)[inner]
    assert difference.std() <= 0.05 * expected[inner].std()
    assert not local[~inner].any()


def test_weights_are_believed_and_their_unit_does_not_matter(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.01, 0.0005)
    noisy = field + background(grid) + noise * rng.standard_normal(SHAPE)
    options = {"iterations": 60, "point_spread": 0.0}
    flat, _, inner = invert(noisy, mask, grid, device, **options)
    weighted = invert(noisy, mask, grid, device, weight=1 / noise, **options)[0]
    assert nrmse(weighted, chi, inner) < 0.9 * nrmse(flat, chi, inner)
    scaled = invert(noisy, mask, grid, device, weight=1000 / noise, **options)[0]
    assert np.abs(scaled - weighted).max() <= 1e-5


def test_small_phases_do_not_feel_field_strength_and_echo_time(device, rng):
    _, mask, field, grid = head(rng)
    first = invert(1e-2 * field, mask, grid, device, iterations=30)[0]
    strong = grid.replace(field_strength=7.0)
    second = invert(1e-2 * field, mask, strong, device, iterations=30, echo_time=0.01)[0]
    assert np.abs(first - second).max() <= 1e-3 * np.abs(first).max()


def test_it_tells_how_it_stopped_and_can_be_stopped(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, iterations=15, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None), (15, "iterations")]
    seen = []
    invert(field, mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert len(seen) == 1


def test_thin_mask_and_missing_field_strength_are_named(device, rng):
    _, mask, field, grid = head(rng)
    thin = np.zeros_like(mask)
    thin[20:22, 10:20, 10:20] = True
    with pytest.raises(InputError, match="nothing is left of the mask"):
        invert(field, thin, grid, device)
    with pytest.raises(InputError, match="field strength"):
        invert(field, mask, grid.replace(field_strength=None), device)


def test_the_point_spread_removes_noise_between_voxels_but_no_contrast(device, rng):
    chi, mask, field, grid = head(rng)
    blurred = gaussian_filter(chi, 0.6)
    total = gaussian_filter(field, 0.6) + background(grid) + 0.003 * rng.standard_normal(SHAPE)
    noise = np.full(SHAPE, 0.003)
    sharp, smooth = (
        invert(total, mask, grid, device, noise=noise, point_spread=spread)[0] for spread in (0.0, 0.6)
    )
    deep = to_numpy(without_layer(without_boundary(device.asarray(mask, bool))))
    assert nrmse(smooth, blurred, deep) < nrmse(sharp, blurred, deep)
    truth = blurred[deep] - blurred[deep].mean()
    slopes = [(x[deep] - x[deep].mean()) @ truth / (truth @ truth) for x in (sharp, smooth)]
    assert slopes[1] > slopes[0] - 0.02


def test_the_returned_residual_restores_contrast_that_total_variation_takes(device, rng):
    chi, mask, field, grid = head(rng)
    total = field + background(grid) + 0.002 * rng.standard_normal(SHAPE)
    inner = to_numpy(without_boundary(device.asarray(mask, bool)))
    truth = chi[inner] - chi[inner].mean()
    options: dict[str, Any] = {"lambda": 1e-3, "noise_gain": 0.0, "own_edges": 0.0}
    maps = [invert(total, mask, grid, device, residual_spread=size, **options)[0] for size in (0.0, 1.7)]
    without, with_return = (1 - (x[inner] - x[inner].mean()) @ truth / (truth @ truth) for x in maps)
    assert without > 0.25
    assert with_return < 0.7 * without
    assert nrmse(maps[1], chi, inner) < 0.9 * nrmse(maps[0], chi, inner)


def test_without_a_magnitude_edges_come_from_a_first_chi(device, rng):
    chi, mask, field, grid = head(rng)
    total = field + background(grid) + 0.0005 * rng.standard_normal(SHAPE)
    inner = to_numpy(without_boundary(device.asarray(mask, bool)))
    smooth, edged = (
        nrmse(invert(total, mask, grid, device, own_edges=share)[0], chi, inner) for share in (0.0, 0.2)
    )
    assert edged < 0.8 * smooth
    magnitude = np.full((*SHAPE, 2), 100.0, np.float32)
    same = [invert(total, mask, grid, device, magnitude=magnitude, own_edges=share)[0] for share in (0.0, 0.2)]
    assert (same[0] == same[1]).all()


def test_the_surface_is_pulled_towards_cortex_except_veins(device, rng):
    chi, mask, field, grid = head(rng)
    inner = to_numpy(without_layer(without_layer(device.asarray(mask, bool))))
    centred = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    rim = mask & ~inner
    stripes = np.where(rim & (np.indices(SHAPE).sum(0) % 12 < 6), 0.1, 0.0)
    chi = chi + stripes
    field = field + convolve(stripes, dipole(SHAPE, grid.voxel_size, (0, 0, 1)))
    vein = rim & (centred[0] > 0)
    rate = np.where((centred**2).sum(0) < 16, 2.0, np.where(rim, np.where(vein, 40.0, 13.0), 20.0))
    magnitude = np.stack([100 * np.exp(-rate * t) for t in (0.005, 0.02)], -1)
    magnitude *= np.where(stripes > 0, 1.0, 0.7)[..., None]
    options: dict[str, Any] = {"magnitude": magnitude.astype(np.float32), "rim_limit": 9.0, "point_spread": 0.0}
    free, tied = (
        invert(field + background(grid), mask, grid, device, lambda_rim=weight, **options)[0]
        for weight in (0.0, 1.0)
    )
    assert tied[rim & ~vein].std() < 0.5 * free[rim & ~vein].std()
    assert tied[vein].std() > 0.8 * free[vein].std()
