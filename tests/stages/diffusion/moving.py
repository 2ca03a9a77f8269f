"""A head of tensors that moves between the volumes of its series."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from qsmengine.data import DwiSeries
from qsmengine.grid import Grid
from qsmengine.ops.registration import resample


def turn(angles):
    """Rotation about x, y and z [rad]."""
    return Rotation.from_rotvec(angles).as_matrix()


def motions(rng, grid, count, degrees, mm):
    """Transforms (count, 4, 4) from the head at rest to the moved one; the first stays."""
    centre = (np.array(grid.shape) - 1) / 2 * grid.voxel_size
    found = np.tile(np.eye(4), (count, 1, 1))
    for matrix in found[1:]:
        matrix[:3, :3] = turn(np.deg2rad(rng.uniform(-degrees, degrees, 3)))
        matrix[:3, 3] = centre - matrix[:3, :3] @ centre + rng.uniform(-mm, mm, 3)
    return found


def signals_of(tensor, s0, b, vectors):
    """(x, y, z) for one volume; tensor (x, y, z, 6) and direction in FSL's frame."""
    x, y, z = vectors
    return s0 * np.exp(-b * (tensor @ np.array([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z])))


def moved_series(tensor, s0, b_values, b_vectors, grid, matrices, rng, level):
    """The series of a head that lies at matrices[v] in volume v; noise `level` of the largest S0."""
    flip = np.array([-1.0 if grid.handedness > 0 else 1.0, 1.0, 1.0])
    signal = np.empty((*grid.shape, len(b_values)), np.float32, order="F")
    for v, matrix in enumerate(matrices):
        at_rest = (matrix[:3, :3].T @ (b_vectors[v] * flip)) * flip
        still = signals_of(tensor, s0, b_values[v], at_rest).astype(np.float32)
        image = resample(still, np.linalg.inv(matrix), grid.voxel_size)
        noise = level * s0.max() * rng.normal(size=(2, *grid.shape))
        signal[..., v] = np.hypot(image + noise[0], noise[1])
    return DwiSeries(signal, b_values, b_vectors, grid)


def smooth_head(rng, shape=(36, 40, 32), voxel=(3.0, 3.0, 3.0)):
    """Grid, mask, S0 (x, y, z) and tensors (x, y, z, 6) that vary smoothly in an ellipsoid."""
    grid = Grid(shape, np.diag([*voxel, 1.0]))
    points = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij"))
    mask = (points**2 * np.array([1.0, 0.8, 1.2])[:, None, None, None]).sum(axis=0) < 0.8
    field = np.stack([gaussian_filter(rng.normal(size=shape), 3) for _ in range(3)], axis=-1)
    axis = field / np.linalg.norm(field, axis=-1, keepdims=True)
    tissue = gaussian_filter(rng.normal(size=shape), 2)
    s0 = gaussian_filter(mask * (700 + 250 * tissue / tissue.std()).clip(100), 0.7)
    places = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    tensor = np.stack([0.5e-3 * (i == j) + 1.0e-3 * axis[..., i] * axis[..., j] for i, j in places], axis=-1)
    return grid, mask, s0, tensor
