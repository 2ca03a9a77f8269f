"""LBV: outside sources vanish, inside sources stay, and it is the direct solution of its equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage, sparse

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.background.lbv import LbvParams, lbv
from tests.solvers.test_multigrid import blob, dense_laplacian
from tests.stages.background.fields import (
    FLAT,
    GRID,
    ellipsoid,
    inside_field,
    outside_field,
    shim_field,
)

FACES = ndimage.generate_binary_structure(3, 1)
FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
both_grids = pytest.mark.parametrize("grid", [GRID, FLAT], ids=["isotropic", "anisotropic"])


@both_grids
def test_fields_of_outside_sources_and_shims_vanish(grid, device):
    mask = ellipsoid(grid)
    for outside, left in ((outside_field(grid), 0.01), (shim_field(grid), 1e-5)):
        local = to_numpy(lbv(outside, mask, grid, LbvParams(), device=device).local_field)
        assert np.abs(local).max() <= left * np.abs(outside[mask]).max()


@both_grids
def test_fields_of_inside_sources_stay(grid, device):
    mask, inside = ellipsoid(grid), inside_field(grid)
    result = lbv(inside + outside_field(grid), mask, grid, LbvParams(), device=device)
    reliable = to_numpy(result.mask)
    error = (to_numpy(result.local_field) - inside)[reliable]
    assert np.linalg.norm(error) <= 0.3 * np.linalg.norm(inside[reliable])


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (0.9, 1.2, 2.0)])
def test_result_is_the_direct_solution_of_the_boundary_value_problem(voxel, device, rng):
    grid = Grid.from_voxel_size((15, 14, 13), voxel, field_strength=3.0)
    mask = blob(rng, grid.shape)
    field = rng.standard_normal(grid.shape).astype(np.float32)
    inner = ndimage.binary_erosion(mask, FACES_AND_EDGES).reshape(-1)
    matrix = dense_laplacian(grid.shape, voxel)
    boundary = np.where(mask, field, 0).reshape(-1) * ~inner
    background = sparse.linalg.spsolve(matrix[inner][:, inner].tocsc(), -(matrix @ boundary)[inner])
    result = lbv(field, mask, grid, LbvParams(tolerance=1e-6), device=device)
    found = to_numpy(result.local_field).reshape(-1)
    assert np.array_equal(to_numpy(result.mask).reshape(-1), inner)
    assert np.abs(found[inner] - (field.reshape(-1)[inner] - background)).max() <= 1e-4
    assert not found[~inner].any()


@pytest.mark.parametrize("peel", [0, 1, 3])
def test_peeling_takes_layers_off(peel, device):
    mask = ellipsoid(GRID)
    result = lbv(inside_field(GRID), mask, GRID, LbvParams(peel=peel), device=device)
    peeled = ndimage.binary_erosion(mask, FACES, iterations=peel) if peel else mask
    assert np.array_equal(to_numpy(result.mask), ndimage.binary_erosion(peeled, FACES_AND_EDGES))


def test_a_mask_that_fills_the_image_has_its_boundary_at_the_ends(device):
    grid = Grid.from_voxel_size((12, 10, 9), (1.0, 1.0, 1.0), field_strength=3.0)
    result = lbv(np.ones(grid.shape), np.ones(grid.shape, bool), grid, LbvParams(), device=device)
    assert to_numpy(result.mask).sum() == 10 * 8 * 7
    assert np.abs(to_numpy(result.local_field)).max() <= 1e-5


def test_what_lies_outside_the_mask_does_not_matter(device):
    mask, field = ellipsoid(GRID), outside_field(GRID)
    first = lbv(field, mask, GRID, LbvParams(), device=device)
    second = lbv(np.where(mask, field, np.nan), mask, GRID, LbvParams(), device=device)
    assert np.array_equal(to_numpy(first.local_field), to_numpy(second.local_field))


def test_a_mask_of_boundary_only_is_an_error(device):
    thin = np.zeros(GRID.shape, bool)
    thin[5:25, 5:25, 10:12] = True
    with pytest.raises(InputError, match="nothing is left"):
        lbv(np.zeros(GRID.shape), thin, GRID, LbvParams(), device=device)


def test_convergence_is_reported(device):
    told: list[Any] = []
    field = inside_field(GRID) + outside_field(GRID)
    lbv(field, ellipsoid(GRID), GRID, LbvParams(), device=device, callback=told.append)
    assert told[-1].reason == "converged"
    assert told[-1].residual <= told[-1].tolerance == 1e-4
    assert told[-1].iteration <= 12
