"""The size of the object, found from a mask or a magnitude."""

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.grid import Grid
from qsmengine.stages.object_size import object_size, size_notes, sized_grid

RADII = np.array([62.0, 80.0, 70.0])
"""Half axes of an adult's brain, as an ellipsoid [mm]."""
BRAIN_TO_HEAD = 1.57


def _ellipsoid(rng, size, shape=(64, 72, 60)):
    """Ellipsoid of `size` adult brains that fills a part of the image, off its centre; and the grid."""
    edges = np.array([2.6, 2.7, 3.0]) * size
    centre = np.array(shape) * edges * rng.uniform(0.45, 0.55, 3)
    x, y, z = np.meshgrid(*(np.arange(n) * h for n, h in zip(shape, edges, strict=True)), indexing="ij")
    a, b, c = RADII * size
    mask = ((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2 + ((z - centre[2]) / c) ** 2 < 1
    return mask, Grid.from_voxel_size(shape, tuple(edges), field_strength=7.0)


def _magnitude(rng, mask):
    """One echo of 400 inside, with the noise of two channels."""
    real, imaginary = 20 * rng.standard_normal((2, *mask.shape, 1))
    return np.hypot(real + 400 * mask[..., None], imaginary)


@pytest.mark.parametrize("size", [0.62, 0.8, 1.0, 1.3])
def test_infants_and_adults_keep_all_lengths(rng, device: Device, size):
    mask, grid = _ellipsoid(rng, size)
    found = sized_grid(grid, {"mask": device.asarray(mask, bool)}, device=device)
    assert found.length_scale == 1.0
    assert found.voxel_size == grid.voxel_size
    assert size_notes(found) == ()


@pytest.mark.parametrize("size", [0.06, 0.15, 0.4])
def test_a_small_brain_is_measured(rng, device: Device, size):
    mask, grid = _ellipsoid(rng, size)
    found = sized_grid(grid, {"mask": device.asarray(mask, bool)}, device=device)
    assert found.length_scale == pytest.approx(size, rel=0.17)
    (note,) = size_notes(found)
    assert f"{found.length_scale:.3g} times" in note


def test_the_scale_follows_the_voxels_exactly(rng, device: Device):
    mask, grid = _ellipsoid(rng, 0.3)
    inside = device.asarray(mask, bool)
    affine = np.array(grid.affine)
    affine[:3] /= 3
    first, second = (
        sized_grid(g, {"mask": inside}, device=device) for g in (grid, grid.replace(affine=affine))
    )
    np.testing.assert_allclose(second.voxel_size, first.voxel_size, rtol=1e-12)


def test_a_head_is_found_in_a_noisy_magnitude(rng, device: Device):
    for size in (0.1, 0.3, 1.0):
        mask, grid = _ellipsoid(rng, size)
        values = _magnitude(rng, mask).astype(np.float32)
        found = sized_grid(grid, {"magnitude": device.asarray(values)}, device=device)
        expected = 1.0 if size == 1.0 else size / BRAIN_TO_HEAD
        assert found.length_scale == pytest.approx(expected, rel=0.17)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_through_an_adults_brain_is_no_small_animal(rng, device: Device, axis):
    mask, grid = _ellipsoid(rng, 1.0)
    middle = mask.shape[axis] // 2
    part = tuple(slice(middle - 3, middle + 3) if a == axis else slice(None) for a in range(3))
    slab = mask[part]
    shape = tuple(int(n) for n in slab.shape)
    found = sized_grid(grid.replace(shape=shape), {"mask": device.asarray(slab, bool)}, device=device)
    assert found.length_scale == 1.0


def test_the_size_of_a_crop_is_unknown(rng, device: Device):
    mask, grid = _ellipsoid(rng, 1.0)
    part = mask[24:40, 28:46, 22:38]
    crop = grid.replace(shape=part.shape)
    inside = device.asarray(part, bool)
    assert sized_grid(crop, {"mask": inside}, device=device).length_scale is None
    values = _magnitude(rng, part).astype(np.float32)
    assert sized_grid(crop, {"magnitude": device.asarray(values)}, device=device).length_scale is None


def test_a_scale_that_is_given_stays_and_nothing_gives_none(device: Device):
    grid = Grid.from_voxel_size((8, 9, 10), (0.1, 0.1, 0.1))
    given = grid.replace(length_scale=0.2)
    full = device.asarray(np.ones(grid.shape), bool)
    assert sized_grid(given, {"mask": full}, device=device) == given
    assert sized_grid(grid, {}, device=device).length_scale is None
    assert sized_grid(grid, {"mask": ~full}, device=device).length_scale is None
    assert object_size(~full, grid) == 0.0


def test_lengths_are_counted_in_the_scale(rng):
    edges = tuple(rng.uniform(0.1, 0.3, 3))
    grid = Grid.from_voxel_size((4, 5, 6), edges, field_strength=9.4)
    scaled = grid.replace(length_scale=0.25)
    np.testing.assert_allclose(scaled.voxel_size, np.divide(edges, 0.25))
    assert scaled.voxel_volume == pytest.approx(np.prod(edges) / 0.25**3)
    np.testing.assert_allclose(scaled.voxel_edges, edges)
    assert scaled.b0_direction == grid.b0_direction
    assert scaled.matches(grid)
