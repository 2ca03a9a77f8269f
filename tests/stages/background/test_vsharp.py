"""V-SHARP: removes harmonic fields, keeps local ones, tells where it is reliable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.background.vsharp import VsharpParams, sphere_radii, vsharp

SHAPE = (48, 46, 40)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 1.0), field_strength=3.0)
CENTRED = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
MASK = ((CENTRED / np.array([20, 19, 16])[:, None, None, None]) ** 2).sum(0) < 1


def dipole_field(position, moment):
    r = CENTRED - np.asarray(position)[:, None, None, None]
    r2 = (r**2).sum(0)
    return moment * (3 * r[2] ** 2 / r2 - 1) / r2**1.5


def test_fields_of_outside_sources_vanish_and_inside_sources_stay(device):
    outside = dipole_field((0.3, 3.2, 30.1), 2000.0) + dipole_field((-28.3, 5.1, 0.2), -1500.0)
    inside = dipole_field((0.2, 0.3, 0.1), 3.0)
    params = VsharpParams(max_radius=8)
    background = vsharp(outside, MASK, GRID, params, device=device)
    local = vsharp(inside, MASK, GRID, params, device=device)
    reliable = to_numpy(background.mask)
    assert np.std(to_numpy(background.local_field)[reliable]) <= 0.02 * np.std(outside[MASK])
    near = reliable & (np.linalg.norm(CENTRED, axis=0) < 6) & (np.linalg.norm(CENTRED, axis=0) > 1.5)
    estimate, truth = to_numpy(local.local_field)[near], inside[near]
    assert np.corrcoef(estimate, truth)[0, 1] > 0.99


def test_the_mask_is_eroded_by_the_smallest_sphere_and_values_outside_are_zero(device, rng):
    result = vsharp(
        rng.standard_normal(SHAPE), MASK, GRID, VsharpParams(max_radius=6, min_radius=2), device=device
    )
    distance = ndimage.distance_transform_edt(MASK)
    assert np.array_equal(to_numpy(result.mask), distance > 2.0)
    assert (to_numpy(result.local_field)[~to_numpy(result.mask)] == 0).all()


def test_more_radii_reach_closer_to_the_edge(device, rng):
    field = rng.standard_normal(SHAPE)
    two = vsharp(field, MASK, GRID, VsharpParams(max_radius=5, min_radius=2, step=3), device=device)
    one = vsharp(field, MASK, GRID, VsharpParams(max_radius=5, min_radius=5), device=device)
    assert to_numpy(one.mask).sum() < to_numpy(two.mask).sum()
    assert (to_numpy(two.mask) | ~to_numpy(one.mask)).all()


def test_what_lies_outside_the_mask_does_not_matter(device, rng):
    field = rng.standard_normal(SHAPE)
    first = vsharp(field, MASK, GRID, VsharpParams(), device=device)
    second = vsharp(np.where(MASK, field, np.nan), MASK, GRID, VsharpParams(), device=device)
    assert np.array_equal(to_numpy(first.local_field), to_numpy(second.local_field))


@pytest.mark.parametrize(
    ("voxel", "expected"),
    [((1, 1, 1), [4, 3, 2, 1]), ((3, 3, 3), [4]), ((0.5, 0.5, 2), [4, 3, 2]), ((1.5, 1.5, 1.5), [4, 2.5])],
)
def test_radii_respect_the_voxels(voxel, expected):
    assert sphere_radii(VsharpParams(max_radius=4), voxel) == pytest.approx(expected)


def test_a_mask_without_room_for_a_sphere_is_an_error(device):
    thin = np.zeros(SHAPE, bool)
    thin[10:30, 10:30, 20] = True
    with pytest.raises(InputError, match="too thin"):
        vsharp(np.zeros(SHAPE), thin, GRID, VsharpParams(), device=device)
