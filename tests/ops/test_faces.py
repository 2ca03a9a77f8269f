"""Faces between voxels: which are counted, whatever the order and direction of the axes."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.ops.faces import faces_within, faces_without, smooth_faces

SHAPE, SPACING = (7, 6, 8), (1.0, 0.8, 2.0)


def pairs(faces):
    """Counted faces as a set of pairs of voxels."""
    found = set()
    for x, y, z in np.argwhere(faces):
        for axis in range(3):
            if faces[x, y, z] >> axis & 1:
                after = [x, y, z]
                after[axis] += 1
                found.add(((x, y, z), tuple(after)))
    return found


def expected(mask, limit, image):
    found = set()
    for voxel in np.ndindex(*mask.shape):
        for axis in range(3):
            after = list(voxel)
            after[axis] += 1
            if after[axis] == mask.shape[axis] or not (mask[voxel] and mask[tuple(after)]):
                continue
            if abs(image[voxel] - image[tuple(after)]) / SPACING[axis] <= limit:
                found.add((voxel, tuple(after)))
    return found


def test_faces_within_and_without_join_voxels_of_one_side(device, rng):
    mask = rng.random(SHAPE) > 0.4
    on_device = device.asarray(mask, bool)
    image = np.zeros(SHAPE)
    assert pairs(to_numpy(faces_within(on_device))) == expected(mask, 0, image)
    without = to_numpy(faces_without(on_device))
    for axis in range(3):
        assert ((without >> axis & 1) == (~mask & ~np.roll(mask, -1, axis))).all()


@pytest.mark.parametrize("edges", [0.0, 0.3, 0.9])
def test_the_steepest_faces_of_the_mask_are_left_out(edges, device, rng):
    mask = rng.random(SHAPE) > 0.2
    image = rng.random(SHAPE).astype(np.float32)
    faces = smooth_faces(device.asarray(image), device.asarray(mask, bool), SPACING, edges)
    inside = expected(mask, np.inf, image)
    steepness = sorted(
        abs(float(image[a]) - float(image[b])) / SPACING[int(np.argmax(np.subtract(b, a)))] for a, b in inside
    )
    limit = steepness[round((1 - edges) * len(inside)) - 1]
    assert pairs(to_numpy(faces)) == expected(mask, limit * (1 + 1e-6), image.astype(float))


def test_flat_images_and_single_voxels_have_no_edges(device):
    mask = device.asarray(np.ones(SHAPE), bool)
    flat = device.asarray(np.ones(SHAPE))
    assert (smooth_faces(flat, mask, SPACING, 0.5) == faces_within(mask)).all()
    single = device.zeros(SHAPE, bool)
    single[2, 3, 4] = True
    assert not smooth_faces(flat, single, SPACING, 0.5).any()


def test_axes_may_be_flipped_and_swapped(device, rng):
    mask, image = rng.random(SHAPE) > 0.2, rng.random(SHAPE).astype(np.float32)

    def counted(a, m, spacing):
        return pairs(to_numpy(smooth_faces(device.asarray(a), device.asarray(m, bool), spacing, 0.3)))

    plain = counted(image, mask, SPACING)
    other = counted(image[::-1].transpose(2, 0, 1), mask[::-1].transpose(2, 0, 1), (2.0, 1.0, 0.8))

    def moved(voxel):
        x, y, z = voxel
        return z, SHAPE[0] - 1 - x, y

    assert other == {tuple(sorted((moved(a), moved(b)))) for a, b in plain}
