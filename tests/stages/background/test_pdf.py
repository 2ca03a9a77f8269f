"""PDF: outside sources and shims vanish, inside sources stay, weights are believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.solvers.cg import solve_least_squares
from qsmengine.solvers.stopping import Stopping
from qsmengine.stages.background.pdf import PdfParams, _Projection, pdf
from tests.stages.background.fields import (
    FLAT,
    GRID,
    dipole_field,
    ellipsoid,
    inside_field,
    outside_field,
    positions,
    shim_field,
)

LONG = PdfParams(iterations=40, tolerance=1e-4)
SHORT = PdfParams(iterations=15)


@pytest.mark.parametrize("grid", [GRID, FLAT], ids=["isotropic", "anisotropic"])
def test_fields_of_outside_sources_vanish(grid, device):
    mask, outside = ellipsoid(grid), outside_field(grid)
    result = pdf(outside, mask, grid, LONG, device=device)
    assert np.array_equal(to_numpy(result.mask), mask)
    assert np.std(to_numpy(result.local_field)[mask]) <= 0.01 * np.std(outside[mask])


@pytest.mark.parametrize("grid", [GRID, FLAT], ids=["isotropic", "anisotropic"])
def test_fields_of_inside_sources_stay(grid, device):
    mask, inside = ellipsoid(grid), inside_field(grid)
    local = to_numpy(pdf(inside + outside_field(grid), mask, grid, SHORT, device=device).local_field)
    assert np.linalg.norm((local - inside)[mask]) <= 0.25 * np.linalg.norm(inside[mask])
    assert not local[~mask].any()


def test_shims_vanish_when_their_order_is_projected_out(device):
    mask, shim = ellipsoid(GRID), shim_field(GRID)
    spread = {
        order: np.std(
            to_numpy(pdf(shim, mask, GRID, PdfParams(iterations=2, shim_order=order), device=device)[0])[mask]
        )
        for order in (-1, 1, 2)
    }
    assert spread[2] <= 1e-5
    assert spread[-1] > spread[1] > 1e-3


@pytest.mark.parametrize("shim_order", [-1, 2])
def test_adjoint_is_the_adjoint(shim_order, device, rng):
    shape = (12, 10, 14)
    inside = device.asarray(rng.random(shape) > 0.4)
    weight = inside * device.asarray(rng.uniform(0.2, 1, shape))
    problem = _Projection(weight, inside, (1.0, 1.3, 0.8), (0.6, 0.0, 0.8), shim_order, device)
    x = device.asarray(rng.standard_normal(shape)) * (1 - inside)
    r = problem.data(device.asarray(rng.standard_normal(shape)))
    ax, atr = to_numpy(problem.forward(x)).copy(), to_numpy(problem.adjoint(r)).copy()
    left, right = (ax * to_numpy(r)).sum(dtype=float), (to_numpy(x) * atr).sum(dtype=float)
    assert left == pytest.approx(right, abs=1e-5 * float(np.linalg.norm(ax) * np.linalg.norm(to_numpy(r))))
    assert not atr[to_numpy(inside) == 1].any()


def test_what_is_left_is_that_of_the_dense_problem(device, rng):
    """A tiny mask, iterated to the end, against least squares with the matrix of the operator."""
    shape = (6, 5, 4)
    mask = np.zeros(shape, bool)
    mask[1:5, 1:4, 1:3] = True
    weight = rng.uniform(0.3, 1, shape) * mask
    problem = _Projection(
        device.asarray(weight), device.asarray(mask), (1.0, 1.1, 0.9), (0.0, 0.6, 0.8), 1, device
    )
    columns = []
    for index in np.flatnonzero(~mask.reshape(-1)):
        unit = np.zeros(shape, np.float32)
        unit.reshape(-1)[index] = 1
        columns.append(to_numpy(problem.forward(device.asarray(unit))).reshape(-1).astype(float))
    matrix = np.stack(columns, axis=1)
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    polynomials = (weight * np.stack([np.ones(shape), x, y, z])).reshape(4, -1).T
    field = rng.standard_normal(shape) * mask
    data = problem.data(device.asarray(field))
    both = np.concatenate([matrix, polynomials], axis=1)
    weighted = (weight * field).reshape(-1)
    expected = weighted - both @ np.linalg.lstsq(both, weighted, rcond=1e-6)[0]
    sources = solve_least_squares(problem.forward, problem.adjoint, data, device, Stopping(300, 1e-6)).x
    found = to_numpy(data - problem.forward(sources)).reshape(-1)
    assert np.abs(found - expected).max() <= 1e-3
    assert np.abs(polynomials.T @ found).max() <= 1e-4


def test_weights_are_believed(device, rng):
    """Voxels whose field is wrong spoil the others, unless their weight says so."""
    mask, inside = ellipsoid(GRID), inside_field(GRID)
    wrong = mask & (np.linalg.norm(positions(GRID) - np.array([7.0, 0, 0])[:, None, None, None], axis=0) < 3)
    field = (inside + outside_field(GRID) + wrong * rng.normal(0.5, 0.5, mask.shape)).astype(np.float32)
    weight = np.where(wrong, 0.0, 1.0)
    good = mask & ~wrong
    error = {}
    for name, w in (("plain", None), ("weighted", weight)):
        local = to_numpy(pdf(field, mask, GRID, LONG, device=device, weight=w).local_field)
        error[name] = np.linalg.norm((local - inside)[good])
    assert error["weighted"] < 0.2 * error["plain"]


def test_the_unit_of_weights_does_not_matter(device, rng):
    mask, field = ellipsoid(GRID), outside_field(GRID)
    weight = rng.uniform(0.5, 2, mask.shape).astype(np.float32)
    first, second = (
        to_numpy(pdf(field, mask, GRID, PdfParams(iterations=10), device=device, weight=w).local_field)
        for w in (weight, 4096 * weight)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("weight", [np.zeros(GRID.shape), -np.ones(GRID.shape)], ids=["zero", "negative"])
def test_weights_that_say_nothing_are_an_error(weight, device):
    with pytest.raises(InputError, match="weight"):
        pdf(outside_field(GRID), ellipsoid(GRID), GRID, PdfParams(), device=device, weight=weight)


def test_what_lies_outside_the_mask_does_not_matter(device):
    mask, field = ellipsoid(GRID), outside_field(GRID)
    few = PdfParams(iterations=5)
    first = pdf(field, mask, GRID, few, device=device, weight=np.ones(mask.shape))
    second = pdf(
        np.where(mask, field, np.nan), mask, GRID, few, device=device, weight=np.where(mask, 1, np.nan)
    )  # fmt: skip
    assert np.array_equal(to_numpy(first.local_field), to_numpy(second.local_field))


def test_more_iterations_take_more_of_near_sources_and_the_callback_can_stop(device):
    mask = ellipsoid(GRID)
    near = dipole_field(GRID, (0.2, 0.3, 13.3), 5.0)
    left: list[Any] = []
    told: list[Any] = []
    for iterations in (5, 40):
        params = PdfParams(iterations=iterations, tolerance=0)
        left.append(
            np.std(to_numpy(pdf(near, mask, GRID, params, device=device, callback=told.append)[0])[mask])
        )
    assert left[1] < 0.5 * left[0]
    assert [s.iteration for s in told] == [5, 5, 10, 15, 20, 25, 30, 35, 40]
    stopped = pdf(near, mask, GRID, LONG, device=device, callback=lambda status: False)
    assert np.std(to_numpy(stopped.local_field)[mask]) == pytest.approx(left[0], rel=1e-4)
