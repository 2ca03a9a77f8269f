from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from qsmengine.ops.poisson import PoissonSolver
from tests.stages.gre import DEVICE

MODES = {"neumann": "symmetric", "periodic": "wrap"}


def seven_point(u, boundary, voxel_size):
    """The Laplacian with ghost voxels beyond the faces; odd reflection for Dirichlet."""
    total = np.zeros_like(u)
    for axis, h in enumerate(voxel_size):
        widths = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(u, widths, mode=cast("Any", MODES.get(boundary, "symmetric")))
        if boundary == "dirichlet":
            ends = [np.take(padded, [i], axis) for i in (0, -1)]
            middle = np.take(padded, range(1, padded.shape[axis] - 1), axis)
            padded = np.concatenate([-ends[0], middle, -ends[1]], axis=axis)
        total += np.diff(padded, n=2, axis=axis) / h**2
    return total


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
@pytest.mark.parametrize("shape", [(12, 10, 9), (7, 1, 16)])
def test_solution_has_the_source_as_its_laplacian(boundary, shape):
    rng = np.random.default_rng(1)
    u = rng.normal(size=shape)
    if boundary != "dirichlet":
        u -= u.mean()
    voxel_size = (1.0, 0.7, 2.0)
    source = DEVICE.asarray(seven_point(u, boundary, voxel_size))
    found = PoissonSolver(boundary, shape, voxel_size, DEVICE).solve(source)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, u, atol=2e-5)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_a_constant_source_that_no_field_has_is_left_out(boundary):
    solver = PoissonSolver(boundary, (8, 6, 10), (1.0, 1.0, 1.0), DEVICE)
    np.testing.assert_allclose(solver.solve(DEVICE.asarray(np.full((8, 6, 10), 3.0))), 0.0, atol=1e-5)
