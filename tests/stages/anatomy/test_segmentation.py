"""Grids of the network, and heads of unusual pose and size on them."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.transforms import Transform, bring
from qsmengine.phantom.structural import rotation_matrix
from qsmengine.stages.anatomy import segmentation
from qsmengine.stages.anatomy.head_size import MIDDLE, load_reference
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.segmentation import middle_grid, segment, standard_grid, upright_grid
from qsmengine.stages.anatomy.structures import LEFT_DOWN_FORWARD, STRUCTURES
from tests.stages.gre import DEVICE

BRAIN, SKIN = 55.0, (72.0, 78.0)
"""Radius of the brain, and radii of the skin [mm]."""
LEVELS = 20
"""Intensity of the skin; a class has its number as intensity."""
CORTEX = CLASSES.index("cortex")


def _drawn(pose, voxel=2.0):
    """Image and grid of a head of nested balls with deep structures, brought from the template by `pose`."""
    points = np.stack(np.meshgrid(*[np.arange(-110, 110, voxel)] * 3, indexing="ij"), axis=-1)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -110
    own = (points - pose[:3, 3]) @ np.linalg.inv(pose[:3, :3]).T
    radius = np.linalg.norm(own - MIDDLE, axis=-1)
    image = np.where(radius < BRAIN, np.float32(CORTEX), np.float32(0))
    image[(radius > SKIN[0]) & (radius < SKIN[1])] = LEVELS
    numbers = {s.name: s.number for s in STRUCTURES}
    for name, centre in load_reference().centres.items():
        side, _, structure = name.partition("_")
        if side in {"left", "right"}:
            image[np.linalg.norm(own - centre, axis=-1) < 3.8] = numbers[structure]
    return image, Grid(image.shape, affine, 3.0)


def _by_intensity(image, *_):
    """Classes that the intensities of a drawn head name; cortex where structures blend with what is around."""
    number = np.rint(LEVELS * image)
    pure = np.abs(LEVELS * image - number) < 0.01
    return np.where(number < CORTEX, 0, np.where(pure, number % LEVELS, CORTEX)).astype(np.uint8)


def test_the_grid_follows_the_pose_and_size_of_the_head_and_widens_for_a_large_brain(monkeypatch):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = 1.1 * rotation_matrix((25.0, -9.0, 12.0)), (6.0, -8.0, 5.0)
    image, grid = _drawn(pose)
    monkeypatch.setattr(segmentation, "classify", _by_intensity)
    monkeypatch.setattr(segmentation, "STANDARD", (116, 116, 96))
    monkeypatch.setattr(segmentation, "CORNER", np.array([57.5, -65.0, 68.0]))
    found = segment(image, grid, DEVICE)
    assert found.classes.shape == (148, 148, 128)
    expected = standard_grid(pose, grid, segmentation.WIDER)
    ends = np.array([[0, 0, 0, 1], [147, 0, 0, 1], [0, 147, 127, 1]]).T
    np.testing.assert_allclose((found.grid.affine @ ends)[:3], (expected.affine @ ends)[:3], atol=3.0)
    assert found.grid.voxel_volume == pytest.approx(1.1**3, rel=0.05)
    volume = 4 / 3 * np.pi * (1.1 * BRAIN) ** 3
    assert found.brain.sum() * grid.voxel_volume == pytest.approx(volume, rel=0.03)


def test_the_standard_grid_contains_the_template_and_grows_evenly():
    grid = Grid((10, 10, 10), np.eye(4), 3.0)
    plain, wider = (standard_grid(np.eye(4), grid, margin) for margin in (0, 32))
    for each in (plain, wider):
        np.testing.assert_array_equal(each.affine[:3, :3], LEFT_DOWN_FORWARD)
        assert each.shape[2] % 32 == 0
    centres = [g.affine[:3, :3] @ ((np.array(g.shape) - 1) / 2) + g.affine[:3, 3] for g in (plain, wider)]
    np.testing.assert_allclose(centres[0], centres[1])
    reference = load_reference()
    points = MIDDLE + reference.brain[:, None] * reference.directions
    low, high = plain.affine[:3, 3], plain.affine[:3] @ [*(np.array(plain.shape) - 1), 1]
    assert (points > np.minimum(low, high)).all()
    assert (points < np.maximum(low, high)).all()


def test_grids_along_the_axes_of_the_scanner_cover_the_head_and_its_middle():
    affine = np.diag([-0.8, 1.2, 2.0, 1.0])
    affine[:3, 3] = (70, -90, -150)
    grid = Grid((180, 150, 130), affine, 3.0)
    image = np.zeros(grid.shape, np.float32)
    image[20:160, 10:140, 5:125] = 100.0
    target = upright_grid(image, grid)
    np.testing.assert_array_equal(target.affine[:3, :3], LEFT_DOWN_FORWARD)
    assert target.shape[2] % 32 == 0
    brought = bring(image, grid, target, Transform(np.eye(4)))
    assert brought[:, :, 10].max() > 50
    assert brought[[0, -1], :, 10].max() > 50
    assert target.shape[1] == 191
    middle = middle_grid(image, grid)
    centre = middle.affine[:3, :3] @ ((np.array(middle.shape) - 1) / 2) + middle.affine[:3, 3]
    np.testing.assert_allclose(centre, (-1.6, -0.6, 98 - 70), atol=3.0)
    with pytest.raises(InputError, match="no signal"):
        upright_grid(np.zeros(grid.shape, np.float32), grid)


def test_an_image_of_another_contrast_is_refused_before_the_brain_is_classified(monkeypatch):
    pose = np.eye(4)
    image, grid = _drawn(pose, voxel=4.0)
    white = CLASSES.index("white_matter")
    passes = []

    def classes(block, *_):
        passes.append(block.shape)
        found = _by_intensity(block)
        found[:, :, :64][found[:, :, :64] == CORTEX] = white
        return found

    monkeypatch.setattr(segmentation, "classify", classes)
    with pytest.raises(InputError, match="T1-weighted"):
        segment(image, grid, DEVICE)
    assert passes == [segmentation.MIDDLE_BLOCK]


def test_what_is_no_brain_is_refused(monkeypatch):
    grid = Grid((64, 64, 64), np.eye(4), 3.0)
    image = np.ones(grid.shape, np.float32)
    image[:10] = 0
    for classes, message in (
        (lambda x, *_: np.zeros(x.shape, np.uint8), "no brain found"),
        (lambda x, *_: np.full(x.shape, CORTEX, np.uint8), "not 600 to 2400"),
    ):
        monkeypatch.setattr(segmentation, "classify", classes)
        with pytest.raises(InputError, match=message):
            segment(image, grid, DEVICE)
