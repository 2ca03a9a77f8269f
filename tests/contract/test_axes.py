"""A head whose voxels are stored along other axes gives the same maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.inputs.heads import Image, head
from qsmengine.backend.device import Device, to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from tests.contract.running import EVERY, difference, method_id, run, short_params, tolerance

Axes = tuple[int, int, int]
Flips = tuple[int, ...]

SEEDED = frozenset({"monte_carlo"})
"""Methods that draw one random number after the other as voxels are stored."""
ORDERS: dict[str, Axes] = {"mcpc3ds": (1, 0, 2)}
"""Methods whose default parameters count voxels along the third axis, with an order that keeps it."""
FLIPS: dict[str, tuple[str, Flips]] = {
    "homodyne": ("odd", (0, 1)), "local_field": ("odd", (0, 1)),
}  # fmt: skip
"""Heads and axes along which a method may be flipped, where not the odd head along all.

A slab of 16 slices extends one slice further back.
"""
ROUNDING = {"laplacian": 1e-3, "pdf": 1e-3, "exponential": 2e-3, "common_shape": 2e-3, "gamma": 1e-2}
"""Differences, relative to the largest value, of methods that sum large terms of opposite sign or iterate."""


def _stored(image: Image, axes: Axes, flips: Flips) -> Image:
    return np.flip(image.transpose(*axes, *range(3, image.ndim)), flips)


def _stored_grid(grid: Grid, axes: Axes, flips: Flips) -> Grid:
    matrix, origin = grid.affine[:3, axes].copy(), grid.affine[:3, 3].copy()
    shape = tuple(grid.shape[a] for a in axes)
    for axis in flips:
        origin += matrix[:, axis] * (shape[axis] - 1)
        matrix[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return Grid((shape[0], shape[1], shape[2]), affine, grid.field_strength)


def _in_head(value: Any, axes: Axes, flips: Flips) -> Any:
    return _stored(value, axes, flips) if np.ndim(value) >= 3 else value


def _check(method: Method, name: str, axes: Axes, flips: Flips, device: Device) -> None:
    case = head(name)
    inputs = {n: _in_head(v, axes, flips) for n, v in case.inputs(method).items()}
    other = _stored_grid(case.grid, axes, flips)
    found = {n: to_numpy(v) for n, v in method(inputs, other, short_params(method), device=device).items()}
    expected = {n: _in_head(v, axes, flips) for n, v in run(method, case, device).items()}
    for output, array in expected.items():
        unit = method.outputs[output]
        if np.ndim(array) < 3 or array.dtype.kind in "bu":
            np.testing.assert_allclose(found[output], array, rtol=1e-3, err_msg=output)
        else:
            least = ROUNDING.get(method.name, 0.0) * float(np.abs(array).max())
            allowed = max(least, tolerance(output, unit, expected))
            assert difference(output, found, expected) <= allowed, output


@pytest.mark.parametrize("method", [m for m in EVERY if m.name not in SEEDED], ids=method_id)
def test_the_order_of_the_axes_does_not_matter(method: Method, device: Device) -> None:
    _check(method, "oblique", ORDERS.get(method.name, (2, 0, 1)), (), device)


@pytest.mark.parametrize("method", [m for m in EVERY if m.name not in SEEDED], ids=method_id)
def test_the_direction_of_the_axes_does_not_matter(method: Method, device: Device) -> None:
    name, flips = FLIPS.get(method.name, ("odd", (0, 1, 2)))
    _check(method, name, (0, 1, 2), flips, device)
