"""Images of any orientation lead to the affine of the grid from which they were made."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.scanner.geometry import Frame, affine_of, depth
from tests.scanner.client import images_of

SHAPE = (7, 6, 5)
ANGLE = np.radians(25.0)
TILT = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
TURN = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
AXES = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "mirrored": np.diag([1.0, -1.0, 1.0]),
    "sagittal": np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": TILT @ TURN,
    "oblique sagittal": TURN @ TILT @ np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]),
}


def grid_of(axes):
    affine = np.eye(4)
    affine[:3, :3] = axes * (0.8, 1.1, 2.5)
    affine[:3, 3] = (-31.0, 12.5, 7.25)
    return Grid(SHAPE, affine, 3.0)


@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_affine_and_direction_of_the_field(axes, slices):
    grid = grid_of(axes)
    images = images_of(np.zeros(SHAPE, np.float32), grid, 1, 0, slices=slices)
    frames = [Frame.of(image.getHead(), image.meta) for image in images]
    ordered = sorted(frames, key=depth)
    found = Grid(SHAPE, affine_of(ordered), 3.0)
    assert grid.matches(found, 1e-4)
    np.testing.assert_allclose(found.b0_direction, axes[2], atol=1e-6)


def test_slices_in_reverse_give_the_same_voxels_the_same_place():
    grid = grid_of(AXES["oblique"])
    images = images_of(np.zeros(SHAPE, np.float32), grid, 1, 0, slices=True)
    for image in images:  # the normal points the other way, as for mirrored storage
        image.slice_dir = tuple(-np.array(image.slice_dir))
    frames = sorted((Frame.of(image.getHead(), image.meta) for image in images), key=depth)
    affine = affine_of(frames)
    last = grid.affine @ (0, 0, SHAPE[2] - 1, 1)
    np.testing.assert_allclose(affine @ (0, 0, 0, 1), last, atol=1e-4)


def test_directions_of_flipped_images_are_in_the_attributes():
    grid = grid_of(AXES["flipped"])
    (image,) = images_of(np.zeros(SHAPE, np.float32), grid, 1, 0)
    names = ("ImageRowDir", "ImageColumnDir", "ImageSliceDir")
    for name, field in zip(names, ("read_dir", "phase_dir", "slice_dir"), strict=True):
        image.meta[name] = [str(value) for value in getattr(image, field)]
    image.read_dir, image.phase_dir, image.slice_dir = (0, 1, 0), (1, 0, 0), (0, 0, 1)
    found = Grid(SHAPE, affine_of([Frame.of(image.getHead(), image.meta)]), 3.0)
    assert grid.matches(found, 1e-4)
    image.meta["ImageRowDir"] = ["a", "b", "c"]
    with pytest.raises(InputError, match="ImageRowDir"):
        Frame.of(image.getHead(), image.meta)


def test_sheared_stacks_and_slanted_axes_are_refused():
    grid = grid_of(AXES["axial"])
    images = images_of(np.zeros(SHAPE, np.float32), grid, 1, 0, slices=True)
    for number, image in enumerate(images):
        image.position = tuple(np.add(image.position, (0.5 * number, 0, 0)))
    with pytest.raises(InputError, match="not stacked along their normal"):
        affine_of([Frame.of(image.getHead(), image.meta) for image in images])
    images[0].read_dir = (0.9, 0.5, 0.0)
    with pytest.raises(InputError, match="not perpendicular"):
        Frame.of(images[0].getHead(), images[0].meta)
