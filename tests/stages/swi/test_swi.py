from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import minimum_filter1d

from qsmengine.grid import Grid
from qsmengine.stages.swi.homodyne import HomodyneParams, homodyne
from qsmengine.stages.swi.images import projection, projection_axis, slab_slices, slice_axis
from qsmengine.stages.swi.local_field import LocalFieldParams, local_field_swi
from tests.stages.gre import DEVICE

TIMES = (0.008, 0.016, 0.024)
RAD = 2 * np.pi * 42.576 * 3.0
"""Phase of 1 ppm at 3 T [rad/s]."""
SHAPE = (48, 44, 24)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 2.0), field_strength=3.0)


def series(field, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    times = np.array(TIMES)
    signal = 100 * np.exp(-20 * times) * np.exp(1j * RAD * field[..., None] * times)
    signal = signal + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


def tube(value):
    """A thin paramagnetic tube along z: field inside value / 3."""
    field = np.zeros(SHAPE)
    field[23:25, 21:23] = value / 3
    return field


def test_known_phase_gives_the_mask_s_formula(rng):
    field = rng.uniform(-0.2, 0.3, SHAPE).astype(np.float32)
    magnitude, _ = series(field)
    params = LocalFieldParams(high_pass=0.0, echo_time=0.02, limit=2.0, power=3.0)
    result = local_field_swi(magnitude, field, np.ones(SHAPE, bool), TIMES, GRID, params, device=DEVICE)
    phase = RAD * 0.02 * field
    share = np.where(phase > 0, np.clip(1 - phase / 2.0, 0, 1) ** 3, 1.0)
    expected = np.sqrt((magnitude.astype(float) ** 2).sum(axis=-1)) * share
    np.testing.assert_allclose(result.swi, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["homodyne", "local_field"])
def test_paramagnetic_vein_is_dark_and_diamagnetic_one_is_not(method):
    mask = np.ones(SHAPE, bool)
    x = np.arange(SHAPE[0])[:, None, None]
    for value, low, high in ((0.45, 0.0, 0.6), (-0.45, 0.99, 1.01)):
        field = tube(value)
        if method == "homodyne":
            magnitude, phase = series(field + 0.01 * x)
            phase = np.angle(np.exp(1j * (phase + 2.5)))
            result = homodyne(magnitude, phase, mask, TIMES, GRID, HomodyneParams(), device=DEVICE)
        else:
            magnitude, _ = series(field)
            result = local_field_swi(magnitude, field, mask, TIMES, GRID, LocalFieldParams(), device=DEVICE)
        plain = np.sqrt((magnitude.astype(float) ** 2).sum(axis=-1))
        ratio = result.swi / plain
        assert low <= ratio[23:25, 21:23].mean() <= high
        assert ratio[8:16, 8:36].mean() > 0.97


def test_homodyne_phase_is_the_angle_against_its_own_low_pass():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(4)
    magnitude, phase = series(0.3 * gaussian_filter(rng.standard_normal(SHAPE), 2), noise=1.0)
    mask = rng.random(SHAPE) < 0.95
    params = HomodyneParams(low_pass=5.0, power=1.0)
    result = homodyne(magnitude[..., :1], phase[..., :1], mask, TIMES[:1], GRID, params, device=DEVICE).swi
    image = np.where(mask, magnitude[..., 0] * np.exp(1j * phase[..., 0]), 0)
    width = 5.0 / (2 * math.sqrt(2 * math.log(2)))
    low = gaussian_filter(image, [width, width, 0], mode="constant", truncate=6)
    angle = np.angle(image * np.conj(low))
    expected = magnitude[..., 0] * np.where(angle > 0, 1 - angle / np.pi, 1)
    np.testing.assert_allclose(result[mask], expected[mask], atol=0.02)


def test_local_field_leaves_no_wraps_where_homodyne_does():
    mask = np.ones(SHAPE, bool)
    x = np.linspace(0, 1, SHAPE[0])[:, None, None] * np.ones(SHAPE)
    steep = 6.0 * x**4
    magnitude, phase = series(steep)
    plain = np.sqrt((magnitude.astype(float) ** 2).sum(axis=-1))
    filtered = homodyne(magnitude, phase, mask, TIMES, GRID, HomodyneParams(), device=DEVICE).swi / plain
    clear = (
        local_field_swi(magnitude, np.zeros(SHAPE), mask, TIMES, GRID, LocalFieldParams(), device=DEVICE).swi
        / plain
    )
    assert (filtered < 0.5).mean() > 0.02
    assert clear.min() > 0.999


@pytest.mark.parametrize("slices", [1, 2, 5, 8, 60])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_projection_is_a_running_minimum(slices, axis, rng):
    image = rng.random((9, 10, 11)).astype(np.float32)
    size = min(slices, 2 * image.shape[axis])
    shift = 0 if slices == size else None
    got = projection(image, np.ones(image.shape, bool), axis, slices)
    if shift is None:
        expected = np.broadcast_to(image.min(axis=axis, keepdims=True), image.shape)
    else:
        expected = minimum_filter1d(image, slices, axis=axis, mode="constant", cval=np.inf)
    np.testing.assert_array_equal(got, expected)


def test_projection_counts_only_the_mask(rng):
    image = rng.random((6, 6, 12)).astype(np.float32)
    mask = rng.random(image.shape) < 0.6
    got = projection(image, mask, 2, 5)
    padded = np.pad(np.where(mask, image, np.inf), ((0, 0), (0, 0), (2, 2)), constant_values=np.inf)
    expected = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=2).min(axis=-1)
    np.testing.assert_array_equal(got, np.where(mask, expected, 0))


def test_slices_follow_the_longest_edge():
    assert slice_axis(GRID) == 2
    assert slice_axis(Grid.from_voxel_size((4, 4, 4), (1.0, 3.0, 1.0))) == 1
    assert slice_axis(Grid.from_voxel_size((4, 4, 4), (1.0, 1.0, 1.0))) == 2
    assert slice_axis(GRID, "x") == 0
    assert (slab_slices(16.0, 2.0), slab_slices(0.5, 2.0)) == (8, 1)


def permuted(grid, order):
    affine = np.eye(4)
    affine[:, :3], affine[:, 3] = grid.affine[:, list(order)], grid.affine[:, 3]
    return Grid(tuple(grid.shape[axis] for axis in order), affine)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_the_storage_order_changes_neither_slices_nor_projection(order):
    isotropic = Grid.from_voxel_size((6, 7, 8), (1.0, 1.0, 1.0))
    coronal = Grid.from_voxel_size((6, 7, 8), (1.0, 3.0, 1.0))
    for grid, slices in ((isotropic, 2), (coronal, 1)):
        stored = permuted(grid, order)
        assert order[slice_axis(stored)] == slices
        assert order[projection_axis(stored)] == 2
    assert projection_axis(isotropic, "y") == 1
