"""Size of the head: scaling, pose and voxels, atrophy, and images without a skull."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.structural import rotation_matrix
from qsmengine.stages.anatomy.head_size import (
    MIDDLE,
    SKULL,
    TEMPLATE_VOLUME,
    Reference,
    head_size,
    load_reference,
    similarity,
)

AXES = np.array([66.0, 82.0, 64.0])
"""Semi-axes of the cranial cavity [mm], an ellipsoid around the middle of the head."""
SCALP_THICKNESS = 6.0
LEVEL = {"brain": 400.0, "skull": 30.0, "scalp": 600.0}


def _reference():
    """The bundled reference with the cavity of the ellipsoid."""
    known = load_reference()
    cavity = 1 / np.sqrt(((known.directions / AXES) ** 2).sum(axis=1))
    return Reference(known.centres, known.directions, cavity, cavity - 4)


def _made(scale=1.0, degrees=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), voxel=(2.5, 2.5, 2.5), gap=4.0, seed=1):
    """Image, grid, brain mask and centres of a scaled, turned and shifted head; `gap` [mm] of fluid around."""
    turn = rotation_matrix(degrees)
    nx, ny, nz = (int(n) for n in np.ceil(230 * scale / np.asarray(voxel)))
    affine = np.diag([*voxel, 1.0])
    affine[:3, 3] = np.asarray(shift) - 115 * scale
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (nx, ny, nz)), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3] - shift
    own = points @ turn / scale
    length = np.linalg.norm(own, axis=-1)
    direction = own / np.maximum(length, 1e-9)[..., None]
    cavity = 1 / np.sqrt(np.maximum(((direction / AXES) ** 2).sum(axis=-1), 1e-9))
    brain = length < cavity - gap
    fluid = (length >= cavity - gap) & (length < cavity)
    scalp = (length >= cavity + SKULL) & (length < cavity + SKULL + SCALP_THICKNESS)
    bone = (length >= cavity) & (length < cavity + SKULL)
    image = LEVEL["brain"] * brain + LEVEL["skull"] * (bone | fluid) + LEVEL["scalp"] * scalp
    noise = 10 * np.random.default_rng(seed).normal(size=image.shape)
    centres = {n: (c - MIDDLE) @ turn.T * scale + shift for n, c in load_reference().centres.items()}
    return np.abs(image + noise).astype(np.float32), Grid((nx, ny, nz), affine, 3.0), brain, centres


def _size(image, grid, brain, centres):
    return head_size(image, grid, brain, centres, _reference())


@pytest.fixture(scope="module")
def found():
    return _size(*_made())


def test_the_volume_is_that_of_the_cavity_under_the_skull(found):
    assert found.origin == "skull"
    assert found.seen > 0.95
    assert found.intracranial == pytest.approx(TEMPLATE_VOLUME, rel=0.015)


def test_a_scaled_head_has_a_scaled_volume(found):
    larger = _size(*_made(scale=1.1, voxel=(2.6, 2.4, 2.8), seed=2))
    assert larger.intracranial / found.intracranial == pytest.approx(1.1**3, rel=0.01)
    assert larger.scaling * 1.1**3 == pytest.approx(found.scaling, rel=0.01)


def test_pose_and_voxels_do_not_matter(found):
    turned = _size(*_made(1.0, (12.0, -9.0, 15.0), (6.0, -8.0, 5.0), (2.2, 2.7, 2.4), seed=3))
    assert turned.intracranial == pytest.approx(found.intracranial, rel=0.01)


def test_atrophy_leaves_the_volume_unchanged(found):
    shrunk = _size(*_made(gap=9.0))
    assert shrunk.intracranial == pytest.approx(found.intracranial, rel=0.002)


@pytest.mark.parametrize("case", ["stripped", "cut"])
def test_without_a_visible_skull_the_brain_mask_gives_the_volume(case):
    image, grid, brain, centres = _made()
    if case == "stripped":
        image = np.where(brain, image, 0)
    else:
        above = (np.arange(grid.shape[2]) * 2.5 - 115) < 25
        image, grid = (
            np.ascontiguousarray(image[:, :, above]),
            Grid((*grid.shape[:2], int(above.sum())), grid.affine, 3.0),
        )
        brain = np.ascontiguousarray(brain[:, :, above])
    size = _size(image, grid, brain, centres)
    assert size.origin == "brain"
    assert size.seen < 0.5
    if case == "stripped":
        assert size.intracranial == pytest.approx(TEMPLATE_VOLUME, rel=0.02)


def test_a_scalp_cut_off_at_the_side_leaves_the_other_directions(found):
    image, grid, brain, centres = _made()
    keep = slice(0, 73)
    part = Grid((73, *grid.shape[1:]), grid.affine, 3.0)
    size = head_size(np.ascontiguousarray(image[keep]), part, brain[keep], centres, _reference())
    assert size.origin == "skull"
    assert size.seen < 0.95
    assert size.intracranial == pytest.approx(found.intracranial, rel=0.01)


def test_without_a_pose_the_size_is_unknown():
    image, grid, brain, centres = _made()
    few = dict(list(centres.items())[:5])
    assert head_size(image, grid, brain, few, _reference()) is None
    assert head_size(image, grid, np.zeros_like(brain), centres, _reference()) is None


def test_a_similarity_is_found_from_points():
    rng = np.random.default_rng(4)
    points, turn = 30 * rng.normal(size=(9, 3)), rotation_matrix((20.0, -35.0, 70.0))
    pose = similarity(points, 1.2 * points @ turn.T + (4.0, -5.0, 6.0))
    np.testing.assert_allclose(pose[:3, :3], 1.2 * turn, atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], (4.0, -5.0, 6.0), atol=1e-10)


def test_the_bundled_template_is_symmetric_and_its_brain_lies_in_its_cavity():
    reference = load_reference()
    np.testing.assert_allclose(np.linalg.norm(reference.directions, axis=1), 1.0, atol=1e-3)
    for name, left in reference.centres.items():
        if name.startswith("left_"):
            right = reference.centres[name.replace("left", "right")]
            np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1.0)
    assert 0 < np.median(reference.cavity - reference.brain) < 5
    assert 55 < reference.cavity.min() < reference.cavity.max() < 105
