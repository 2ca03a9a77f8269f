from __future__ import annotations

import numpy as np
import pytest

from qsmengine.stages.phase.laplacian import LaplacianParams, laplacian
from tests.stages.gre import DEVICE, TWO_PI, axes, grid_of, simulate, turns_apart

TIMES = (0.004, 0.009, 0.015)
BOUNDARIES = ("neumann", "dirichlet", "periodic")


def unwrap(phase, mask=None, times=TIMES, voxel_size=(1.0, 1.0, 1.0), **params):
    mask = np.ones(phase.shape[:3], bool) if mask is None else mask
    grid = grid_of(mask.shape, voxel_size)
    return laplacian(phase, mask, times, grid, LaplacianParams(**params), device=DEVICE)


def truth_of(field, times=TIMES):
    return TWO_PI * field[..., None] * np.asarray(times)


def steep(shape):
    x, y, z = axes(shape)
    return 150.0 * (x**2 + y**2 - z**2 + 0.5 * x * z) + 90.0


def ball(shape, radius=0.8):
    return sum(a**2 for a in axes(shape)) < radius**2


@pytest.mark.parametrize("shape", [(32, 30, 28), (31, 33, 29), (33, 32, 1), (1, 40, 41)])
def test_a_box_without_gradient_across_its_faces_is_recovered_exactly(shape):
    field = steep(shape)
    unwrapped = unwrap(simulate(field, TIMES)[1], margin=0)
    assert np.ptp(unwrapped[..., 0]) > TWO_PI
    np.testing.assert_allclose(unwrapped, truth_of(field), atol=2e-3)


def test_voxel_sizes_are_those_of_the_grid():
    field = steep((30, 28, 26))
    phase = simulate(field, TIMES)[1]
    unwrapped = unwrap(phase, voxel_size=(0.7, 1.0, 2.5), margin=0)
    np.testing.assert_allclose(unwrapped, truth_of(field), atol=2e-3)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_phase_that_ends_at_a_level_before_the_surface_is_recovered(boundary):
    x, y, z = axes((40, 44, 36))
    field = 220.0 * np.exp(-(x**2 + y**2 + z**2) / 0.12)
    unwrapped = unwrap(simulate(field, TIMES)[1], boundary=boundary)
    assert np.ptp(truth_of(field)) > 3 * TWO_PI
    np.testing.assert_allclose(unwrapped, truth_of(field), atol=3e-2)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.0, 0.8, 2.0)])
def test_what_is_lost_in_a_mask_is_harmonic(boundary, voxel_size):
    shape = (36, 38, 30)
    mask, field = ball(shape), steep(shape)
    found = unwrap(simulate(field, TIMES)[1], mask, voxel_size=voxel_size, boundary=boundary)
    lost = (found - truth_of(field))[..., 0]
    inner = mask.copy()
    total, strength = np.zeros(shape), np.zeros(shape)
    for axis, h in enumerate(voxel_size):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
            total = total + (np.roll(lost, step, axis) - lost) / h**2
            strength = strength + np.abs(np.roll(lost, step, axis) - lost) / h**2
    assert np.abs(total[inner]).max() < 0.01 * np.median(strength[inner])
    assert np.ptp(lost[inner]) > 1.0
    assert (found[~mask] == 0).all()


def test_result_is_no_multiple_of_a_turn_away_from_the_wrapped_phase():
    shape = (36, 38, 30)
    phase = simulate(steep(shape), TIMES)[1]
    mask = ball(shape)
    _, rest = turns_apart(unwrap(phase, mask)[mask], phase[mask])
    assert rest.max() > 0.5


def test_echoes_agree_on_their_turns():
    shape = (24, 26, 28)
    field = 20.0 * axes(shape)[0] + 200.0
    unwrapped = unwrap(simulate(field, (0.002, *TIMES))[1], times=(0.002, *TIMES), margin=0)
    np.testing.assert_allclose(unwrapped, truth_of(field, (0.002, *TIMES)), atol=2e-3)


def test_single_echo_lies_in_the_branch_around_zero():
    shape = (24, 26, 28)
    field = 20.0 * axes(shape)[1] + 1500.0
    unwrapped = unwrap(simulate(field, (0.01,))[1], times=(0.01,), margin=0)
    assert abs(np.median(unwrapped)) <= np.pi
    turns, rest = turns_apart(unwrapped, truth_of(field, (0.01,)))
    assert rest.max() < 2e-3
    assert np.ptp(turns) == 0
