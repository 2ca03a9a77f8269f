from __future__ import annotations

import numpy as np
import pytest

from qsmengine.stages.phase.mcpc3ds import Mcpc3dsParams, mcpc3ds
from tests.stages.gre import DEVICE, TWO_PI, axes, grid_of, simulate, wrapped

TIMES = (0.005, 0.011, 0.019)


def remove(phase, magnitude, mask, times=TIMES, voxel_size=(1.0, 1.0, 1.0), **params):
    grid = grid_of(mask.shape, voxel_size)
    return mcpc3ds(phase, magnitude, mask, times, grid, Mcpc3dsParams(**params), device=DEVICE)


def ball(shape):
    return sum(c**2 for c in axes(shape)) < 0.9


def distance(a, b):
    return np.abs(wrapped(np.asarray(a, np.float64) - b))


@pytest.mark.parametrize("shape", [(36, 34, 30), (35, 33, 31)])
def test_constant_offset_is_removed(shape):
    x, y, z = axes(shape)
    field = 60 * (x**2 - y * z)
    magnitude, phase = simulate(field, TIMES, offset=np.full(shape, 2.1))
    mask = ball(shape)
    corrected = remove(phase, magnitude, mask)
    truth = TWO_PI * field[..., None] * np.asarray(TIMES)
    assert distance(corrected, truth)[mask].max() < 2e-5
    assert np.abs(corrected).max() <= np.pi + 1e-5
    assert (corrected[~mask] == 0).all()


def test_smooth_offset_is_removed_and_phase_is_linear_through_zero():
    rng = np.random.default_rng(1)
    shape = (48, 48, 40)
    x, y, z = axes(shape)
    offset = 2.5 * x - 1.5 * y * z + 1.0
    field = 50 * (x * y + z**2)
    magnitude, phase = simulate(field, TIMES, offset=offset, sigma=0.05, rng=rng)
    mask = ball(shape)
    corrected = remove(phase, magnitude, mask, sigma=(2, 2, 2))
    truth = TWO_PI * field[..., None] * np.asarray(TIMES)
    before, after = distance(phase, truth)[mask], distance(corrected, truth)[mask]
    assert np.median(before[:, 0]) > 0.5
    assert np.median(after[:, 0]) < 0.06
    assert np.percentile(after[:, 0], 99) < 0.3


def test_noise_of_the_offset_is_smoothed_away():
    rng = np.random.default_rng(3)
    shape = (40, 40, 40)
    magnitude, phase = simulate(np.zeros(shape), TIMES, offset=np.full(shape, -1.0), sigma=0.1, rng=rng)
    mask = np.ones(shape, bool)
    inner = (slice(8, -8),) * 3
    rough = remove(phase, magnitude, mask, sigma=(0, 0, 0))[inner][..., 1]
    smooth = remove(phase, magnitude, mask)[inner][..., 1]
    assert smooth.std() == pytest.approx(0.1 * np.exp(20 * TIMES[1]), rel=0.05)
    assert rough.std() > 1.5 * smooth.std()


def test_components_of_the_mask_do_not_disturb_each_other():
    shape = (40, 20, 20)
    mask = np.ones(shape, bool)
    mask[18:22] = False
    magnitude, phase = simulate(np.full(shape, 12.0), TIMES, offset=np.full(shape, 0.7))
    phase[18:22] = np.nan
    corrected = remove(phase, magnitude, mask)
    truth = np.broadcast_to(TWO_PI * 12.0 * np.asarray(TIMES), (*shape, 3))
    assert distance(corrected[mask], truth[mask]).max() < 2e-5


def test_sigma_in_mm_is_sigma_in_voxels_times_their_size():
    rng = np.random.default_rng(6)
    shape = (20, 22, 18)
    magnitude, phase = simulate(np.zeros(shape), TIMES, offset=axes(shape)[0], sigma=0.2, rng=rng)
    mask = np.ones(shape, bool)
    voxels = remove(phase, magnitude, mask, voxel_size=(1, 2, 4), sigma=(4, 3, 2))
    millimetres = remove(phase, magnitude, mask, voxel_size=(1, 2, 4), sigma=(4, 6, 8), unit="mm")
    np.testing.assert_allclose(voxels, millimetres, atol=1e-6)
    assert np.abs(voxels - remove(phase, magnitude, mask, sigma=(4, 6, 8))).max() > 1e-3


def test_single_echo_comes_back_unchanged():
    shape = (6, 7, 8)
    magnitude, phase = simulate(40 * axes(shape)[0], TIMES[:1], offset=np.full(shape, 1.0))
    np.testing.assert_array_equal(remove(phase, magnitude, np.ones(shape, bool), TIMES[:1]), phase)
