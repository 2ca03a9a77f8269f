from typing import Any

import numpy as np

from qsmengine.phantom.shim import fit_shim


def test_harmonic_field_of_second_order_is_removed_entirely(rng):
    shape, voxel_size = (14, 17, 12), (2.0, 1.5, 3.0)
    axes = [np.arange(n) * h - 11.0 for n, h in zip(shape, voxel_size, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    a = rng.normal(size=9) * 0.01
    field = a[0] + a[1] * x + a[2] * y + a[3] * z + a[4] * x * y + a[5] * y * z + a[6] * x * z
    field += a[7] * (x**2 - z**2) + a[8] * (y**2 - z**2)
    field = field.astype(np.float32)
    mask = rng.random(shape) < 0.5
    shimmed = field + fit_shim(field, mask, voxel_size).field(shape, voxel_size)
    assert np.abs(field).max() > 0.1
    assert np.abs(shimmed).max() < 1e-5 * np.abs(field).max()


def test_shim_leaves_the_laplacian_alone(rng):
    shape, h = (20, 20, 20), 1.0
    field = rng.normal(size=shape).astype(np.float32)
    added = fit_shim(field, np.ones(shape, bool), (h, h, h)).field(shape, (h, h, h)).astype(np.float64)
    total: Any = sum(np.roll(added, 1, axis) + np.roll(added, -1, axis) - 2 * added for axis in range(3))
    laplacian = total[1:-1, 1:-1, 1:-1]
    curvature = np.abs(np.diff(added, 2, axis=0)).max()
    assert curvature > 0
    assert np.abs(laplacian).max() < 1e-6


def test_shim_is_the_least_squares_fit_inside_the_mask(rng):
    shape = (15, 16, 17)
    field = rng.normal(size=shape).astype(np.float32)
    mask = rng.random(shape) < 0.7
    shim = fit_shim(field, mask, (1.0, 1.0, 1.0))
    residual = (field + shim.field(shape, (1.0, 1.0, 1.0)))[mask]
    x, y, z = (i.astype(float) for i in np.nonzero(mask))
    for term in (np.ones_like(x), x, y, z, x * y, y * z, x * z, x**2 - y**2, 2 * z**2 - x**2 - y**2):
        assert abs((residual * term).sum()) < 1e-4 * np.linalg.norm(residual) * np.linalg.norm(term)
