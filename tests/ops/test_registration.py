"""Resampling under a transform, rotations out of it, and the optional library that finds it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.errors import DeviceError
from qsmengine.ops.registration import register, resample, rotation_of
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
