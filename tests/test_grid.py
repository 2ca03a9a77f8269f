"""When two images lie on one grid."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid


def tilted(rng, voxel):
    """Affine of an LPS-like image tilted by some degrees, as its sform and as its qform say it."""
    axis = np.array([1.0, *(0.2 * rng.normal(size=2))])
    axis /= np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.deg2rad(rng.uniform(0, 15))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ np.diag(
        [-voxel, -voxel, voxel]
    )
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    header = nib.Nifti1Header()
    header.set_data_shape((64, 64, 48))
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    return header.get_sform(), header.get_qform()


def test_the_rounding_of_a_quaternion_does_not_part_two_images(rng):
    distances = []
    for _ in range(300):
        sform, qform = tilted(rng, 3.0)
        one, other = Grid((64, 64, 48), sform), Grid((64, 64, 48), qform)
        distances.append(one.distance(other))
        assert one.matches(other) == (distances[-1] <= 0.03)
    assert max(distances) > 1e-3


def test_distance_is_that_of_the_farthest_corner():
    one = Grid.from_voxel_size((11, 21, 31), (1.0, 1.0, 1.0))
    affine = one.affine.copy()
    affine[:3, 3] += (0.03, 0.04, 0.0)
    assert one.distance(Grid((11, 21, 31), affine)) == pytest.approx(0.05)
    affine = one.affine.copy()
    affine[0, 2] += 0.01
    assert one.distance(Grid((11, 21, 31), affine)) == pytest.approx(0.3)


@pytest.mark.parametrize("voxel", [0.05, 0.5, 3.0])
def test_a_shift_is_judged_by_the_voxel(voxel):
    one = Grid.from_voxel_size((10, 10, 10), (voxel,) * 3)
    near, far = (one.affine.copy() for _ in range(2))
    near[0, 3] += max(0.009 * voxel, 5e-4)
    far[0, 3] += max(0.02 * voxel, 2e-3)
    check_same_grid(Grid(one.shape, near), one, "mask.nii", "the series")
    with pytest.raises(InputError, match=r"mask\.nii: affine: .* mm apart .*resample it onto that grid"):
        check_same_grid(Grid(one.shape, far), one, "mask.nii", "the series")


def test_a_part_has_the_places_of_its_voxels():
    rng = np.random.default_rng()
    grid = Grid((20, 21, 22), tilted(rng, 0.7)[0])
    box = (slice(3, 20, 4), slice(0, 7), slice(5, 22, 3))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    wanted = index[box] @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    found = grid.part(box)
    own = np.stack(np.meshgrid(*(np.arange(n) for n in found.shape), indexing="ij"), axis=-1)
    np.testing.assert_allclose(own @ found.affine[:3, :3].T + found.affine[:3, 3], wanted, atol=1e-9)


def test_a_field_strength_in_words_is_refused():
    with pytest.raises(InputError, match=r"MagneticFieldStrength: 3 T is not a valid"):
        Grid.from_voxel_size((4, 4, 4), (1.0, 1.0, 1.0), field_strength="3")  # type: ignore[arg-type]
