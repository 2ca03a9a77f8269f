"""Images, labels and points under transforms, and the files of transforms."""

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.header import read_header
from qsmengine.io.nifti import read_image
from qsmengine.io.transforms import read_matrix, write_displacement, write_matrix
from qsmengine.ops.transforms import Transform, Warp, bring, covered, label_fractions
from tests.ops.heads import GRID, SHAPE, motion

OBLIQUE = Grid((20, 24, 18), motion((20.0, -10.0, 5.0), (-30.0, -40.0, -25.0)) @ np.diag([3.0, 2.5, 4.0, 1.0]))


def coordinates(grid):
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


@pytest.mark.parametrize("order", [1, 3])
def test_a_linear_image_is_its_value_at_the_transformed_point(rng, order):
    slope, matrix = rng.uniform(1, 2, 3), motion((8.0, 5.0, -12.0), (3.0, -6.0, 2.0))
    image = (coordinates(GRID) @ slope).astype(np.float32)
    brought = bring(image, GRID, OBLIQUE, Transform(matrix), order=order)
    expected = (coordinates(OBLIQUE) @ matrix[:3, :3].T + matrix[:3, 3]) @ slope
    seen = covered(GRID, OBLIQUE, Transform(matrix))
    inner = (slice(2, -2),) * 3
    assert seen[inner].mean() > 0.5
    np.testing.assert_allclose(brought[inner][seen[inner]], expected[inner][seen[inner]], rtol=0.02, atol=2.0)
    assert not brought[~seen].any()


def test_points_come_back_by_the_inverse(rng):
    points = rng.uniform(-30, 30, (50, 3))
    field = np.broadcast_to(np.array([2.0, -1.0, 3.0], np.float32), (*SHAPE, 3)).copy()
    matrix = motion((10.0, 0.0, 20.0), (5.0, 6.0, 7.0)) @ np.diag([1.1, 0.9, 1.0, 1.0])
    transform = Transform(matrix, Warp(field, GRID), Warp(-field, GRID))
    np.testing.assert_allclose(transform.back(transform(points)), points, atol=1e-5)
    expected = (points + np.array([2.0, -1.0, 3.0])) @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(transform(points), expected, atol=1e-5)


def test_fractions_of_a_voxel_follow_the_border_of_a_label():
    fine = Grid((60, 30, 30), np.diag([1.0, 1.0, 1.0, 1.0]))
    labels = np.zeros(fine.shape, np.int32)
    labels[:29], labels[29:] = 7, 3
    coarse = Grid((20, 10, 10), np.array([[3.0, 0, 0, 1], [0, 3.0, 0, 1], [0, 0, 3.0, 1], [0, 0, 0, 1]]))
    found = label_fractions(labels, fine, coarse, Transform(np.eye(4)), (3, 7))
    np.testing.assert_allclose(found.sum(axis=3), 1)
    np.testing.assert_allclose(found[:9, ..., 1], 1)
    np.testing.assert_allclose(found[9, ..., 1], 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(found[10:, ..., 0], 1)


def test_labels_that_are_not_asked_for_and_the_outside_have_no_fraction():
    labels = np.full((6, 6, 6), 5, np.int32)
    labels[:3] = 2
    grid = Grid((6, 6, 6), np.eye(4))
    shifted = Transform(motion((0, 0, 0), (4.0, 0.0, 0.0)))
    found = label_fractions(labels, grid, grid, shifted, (2,))
    assert not found.any()
    assert label_fractions(labels, grid, grid, Transform(np.eye(4)), (2,))[:3].min() == 1


def test_labels_that_no_voxel_has_have_no_fraction():
    grid = Grid((4, 4, 4), np.eye(4))
    found = label_fractions(np.full(grid.shape, 3, np.int32), grid, grid, Transform(np.eye(4)), (3, 54))
    assert found[..., 0].min() == 1
    assert not found[..., 1].any()


def test_matrices_of_itk_are_read_as_written(tmp_path, rng):
    matrix = motion((3.0, 4.0, 5.0), (1.0, 2.0, 3.0)) @ np.diag([1.2, 0.8, 1.1, 1.0])
    write_matrix(tmp_path / "a.txt", matrix)
    np.testing.assert_allclose(read_matrix(tmp_path / "a.txt"), matrix, atol=1e-12)
    point = rng.uniform(-50, 50, 3)
    numbers = np.array((tmp_path / "a.txt").read_text().splitlines()[3].split()[1:], float)
    flip = np.array([-1, -1, 1])
    in_itk = numbers[:9].reshape(3, 3) @ (flip * point) + numbers[9:]
    np.testing.assert_allclose(flip * in_itk, matrix[:3, :3] @ point + matrix[:3, 3], atol=1e-9)


def test_the_centre_of_a_matrix_of_itk_is_applied(tmp_path):
    text = "#Insight Transform File V1.0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
    turn = "Parameters: 0 -1 0 1 0 0 0 0 1 5 6 7\nFixedParameters: 10 20 30\n"
    (tmp_path / "a.txt").write_text(text + turn)
    matrix = np.diag([-1, -1, 1, 1]) @ read_matrix(tmp_path / "a.txt") @ np.diag([-1, -1, 1, 1])
    np.testing.assert_allclose(matrix @ [10, 20, 30, 1], [15, 26, 37, 1], atol=1e-9)


@pytest.mark.parametrize("text", ["", "Parameters: 1 2\n", "Parameters: a\n", "Parameters: " + "nan " * 12])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match="transform of ITK"):
        read_matrix(tmp_path / "a.txt")


def test_displacements_are_vectors_of_itk(tmp_path, rng):
    field = rng.normal(size=(5, 6, 7, 3)).astype(np.float32)
    write_displacement(tmp_path / "w.nii.gz", field, Grid((5, 6, 7), np.diag([2.0, 2.0, 2.0, 1.0])))
    header, _ = read_header(tmp_path / "w.nii.gz")
    assert header.intent == "vector"
    stored = read_image(tmp_path / "w.nii.gz").array.reshape(5, 6, 7, 3, order="F")
    np.testing.assert_array_equal(stored, field * np.array([-1, -1, 1], np.float32))
