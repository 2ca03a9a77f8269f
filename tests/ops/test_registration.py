"""Resampling under a transform, rotations out of it, and the optional library that finds it."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.errors import DeviceError
from qsmengine.ops.alignment import align
from qsmengine.ops.registration import register, resample, rotation_of
from qsmengine.phantom import virtual_head
from tests.stages.diffusion.moving import turn

VOXEL = (2.0, 1.5, 3.0)


def test_a_shift_by_whole_voxels_moves_the_voxels(rng):
    image = rng.uniform(1, 2, (9, 10, 11)).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, 3] = np.array([1, -2, 3]) * VOXEL
    moved = resample(image, matrix, VOXEL)
    np.testing.assert_allclose(moved[2:7, 3:8, 1:7], image[3:8, 1:6, 4:10], rtol=1e-4)


def test_a_turn_is_undone_by_its_inverse(rng):
    image = (1 + 5 * gaussian_filter(rng.normal(size=(40, 48, 30)), 4)).astype(np.float32)
    centre = (np.array(image.shape) - 1) / 2 * VOXEL
    matrix = np.eye(4)
    matrix[:3, :3] = turn([0.05, -0.08, 0.1])
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + [1.0, 2.0, -1.5]
    back = resample(resample(image, matrix, VOXEL), np.linalg.inv(matrix).astype(float), VOXEL)
    inner = (slice(8, -8),) * 3
    assert np.abs(back - image)[inner].max() < 0.02 * image.max()


def test_rotation_is_found_under_scaling_and_shear(rng):
    rotation = turn([0.1, 0.2, -0.15])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag([1.05, 0.97, 1.0])
    np.testing.assert_allclose(rotation_of(matrix), rotation, atol=1e-12)
    matrix[:3, :3] += 0.01 * rng.normal(size=(3, 3))
    found = rotation_of(matrix)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(found) > 0


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    image = np.ones((4, 4, 4), np.float32)
    with pytest.raises(DeviceError, match=r"antspyx.*qsmengine\[registration\]"):
        register(image, image, VOXEL, "rigid")


@pytest.mark.slow
def test_a_moved_head_of_another_contrast_is_found_and_wrong_pairs_are_refused():
    pytest.importorskip("ants", reason="antspyx is not installed")
    from qsmengine.phantom.drawing import Drawing
    from qsmengine.phantom.structural import StructuralSettings
    from qsmengine.phantom.structural_drawing import DRAWING, simulate

    settings = StructuralSettings(suffixes=("T1w",), voxel_size=(2.5, 2.5, 2.5), rotation=(9.0, -8.0, 9.0),
                                  shift=(9.0, -8.0, 9.0))  # fmt: skip
    drawing: Drawing = replace(DRAWING, simulate=partial(simulate, settings=settings))
    voxel = (3.0, 3.0, 3.0)
    first, second = (
        virtual_head(subject=n, voxel_size=voxel, modalities=("gre", drawing), echo_times=(0.01,), snr=50.0)
        for n in (1, 2)
    )
    t1, gre = first.series("t1w"), first.gre.magnitude[..., 0]
    grid = t1.placement.grid
    found = align(gre, first.grid, t1.images["T1w"], grid)
    assert not found.problems
    voxels = np.argwhere(np.isin(first.labels, (10, 11, 12, 13, 49, 50, 51, 52)))
    points = np.asarray(voxels @ first.grid.affine[:3, :3].T + first.grid.affine[:3, 3], dtype=np.float64)
    true = points @ t1.placement.motion[:3, :3].T + t1.placement.motion[:3, 3]
    assert np.linalg.norm(found.transform(points) - true, axis=1).max() <= 0.5
    flipped = align(gre, first.grid, t1.images["T1w"][::-1].copy(), grid)
    other = second.series("t1w")
    two = align(gre, first.grid, other.images["T1w"], other.placement.grid)
    for wrong in (flipped, two):
        assert any("two heads, or one of them is mirrored" in problem for problem in wrong.problems)
