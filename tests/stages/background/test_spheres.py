"""SHARP, RESHARP and iSMV: outside sources vanish, inside ones stay; dense problems have the same solution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.smv import sphere_offsets
from qsmengine.stages.background.ismv import IsmvParams, ismv
from qsmengine.stages.background.resharp import ResharpParams, resharp
from qsmengine.stages.background.sharp import SharpParams, sharp
from qsmengine.stages.background.vsharp import VsharpParams, vsharp
from tests.stages.background.fields import FLAT, GRID, ellipsoid, inside_field, outside_field, positions

CASES = [
    (sharp, SharpParams(radius=4), 0.05, 0.45),
    (resharp, ResharpParams(radius=4, **{"lambda": 1e-4}), 0.02, 0.3),
    (ismv, IsmvParams(radius=4), 0.02, 0.3),
]
every_method = pytest.mark.parametrize(
    ("run", "params", "left", "lost"), CASES, ids=[c[0].__name__ for c in CASES]
)
both_grids = pytest.mark.parametrize("grid", [GRID, FLAT], ids=["isotropic", "anisotropic"])


def fitting(grid: Grid, mask: np.ndarray, radius: float) -> np.ndarray:
    """Voxels whose whole sphere lies in the mask, by their distance from what is outside."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 9), sampling=grid.voxel_size)
    return distance[9:-9, 9:-9, 9:-9] > radius * (1 + 1e-6)


@every_method
@both_grids
def test_fields_of_outside_sources_vanish(run, params, left, lost, grid, device):
    mask, outside = ellipsoid(grid), outside_field(grid)
    result = run(outside, mask, grid, params, device=device)
    reliable, local = to_numpy(result.mask), to_numpy(result.local_field)
    assert np.std(local[reliable]) <= left * np.std(outside[mask])
    assert np.array_equal(reliable, fitting(grid, mask, 4.0))
    assert not local[~reliable].any()


@pytest.mark.parametrize(
    ("run", "params"), [(sharp, SharpParams(radius=5)), (vsharp, VsharpParams(max_radius=5, min_radius=3))]
)
def test_second_order_shims_vanish_from_oblong_voxels(run, params, device):
    mask, (x, y, z) = ellipsoid(FLAT), positions(FLAT) / 14.0
    shim = 0.3 * (2 * z * z - x * x - y * y) + 0.2 * x * y - 0.1 * z
    result = run(shim, mask, FLAT, params, device=device)
    assert np.abs(to_numpy(result.local_field)).max() <= 1e-4 * np.abs(shim[mask]).max()


@every_method
@both_grids
def test_fields_of_inside_sources_stay(run, params, left, lost, grid, device):
    mask, inside = ellipsoid(grid), inside_field(grid)
    result = run(inside + outside_field(grid), mask, grid, params, device=device)
    reliable = to_numpy(result.mask)
    truth, local = inside[reliable], to_numpy(result.local_field)[reliable]
    assert np.linalg.norm((local - local.mean()) - (truth - truth.mean())) <= lost * np.linalg.norm(truth)


@every_method
def test_what_lies_outside_the_mask_does_not_matter(run, params, left, lost, device):
    mask, field = ellipsoid(GRID), outside_field(GRID)
    first = run(field, mask, GRID, params, device=device)
    second = run(np.where(mask, field, np.nan), mask, GRID, params, device=device)
    assert np.array_equal(to_numpy(first.local_field), to_numpy(second.local_field))


@every_method
def test_a_mask_without_room_for_the_sphere_is_an_error(run, params, left, lost, device):
    thin = np.zeros(GRID.shape, bool)
    thin[5:25, 5:25, 10:14] = True
    with pytest.raises(InputError, match="too thin"):
        run(np.zeros(GRID.shape), thin, GRID, params, device=device)


def test_sharp_is_vsharp_with_one_sphere(device):
    mask, field = ellipsoid(GRID), inside_field(GRID)
    one = sharp(field, mask, GRID, SharpParams(radius=3, threshold=0.1), device=device)
    same = vsharp(field, mask, GRID, VsharpParams(max_radius=3, min_radius=3, threshold=0.1), device=device)
    assert np.array_equal(to_numpy(one.local_field), to_numpy(same.local_field))


def dense_high_pass(shape, radius, voxel_size):
    """Matrix of f - S * f on a box, zero around it, with equal second moments of S along the axes."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    offsets = sphere_offsets(radius, voxel_size)
    weights = {tuple(o): 1 / len(offsets) for o in offsets}
    moments = ((offsets * voxel_size) ** 2).mean(axis=0)
    for axis, extra in enumerate((moments.max() - moments) / (2 * np.square(voxel_size))):
        for shift, factor in ((-1, 1), (0, -2), (1, 1)):
            weights[tuple(shift * np.eye(3, dtype=int)[axis])] += factor * extra
    matrix = np.eye(len(index))
    for offset, weight in weights.items():
        neighbours = index + offset
        exists = ((neighbours >= 0) & (neighbours < shape)).all(axis=1)
        columns = np.ravel_multi_index(tuple(neighbours[exists].T), shape)
        matrix[np.flatnonzero(exists), columns] -= weight
    return matrix


@pytest.fixture
def tiny(rng):
    """Grid, box mask, random field, dense filter, and the voxels that spheres fit into."""
    grid = Grid.from_voxel_size((11, 10, 9), (1.0, 1.1, 1.3), field_strength=3.0)
    mask = np.zeros(grid.shape, bool)
    mask[2:9, 2:8, 2:7] = True
    field = rng.standard_normal(grid.shape).astype(np.float32)
    return (
        grid,
        mask,
        field,
        dense_high_pass(grid.shape, 1.3, grid.voxel_size),
        fitting(grid, mask, 1.3).reshape(-1),
    )


def test_ismv_finds_the_fixed_point_of_repeated_averaging(tiny, device):
    grid, mask, field, high_pass, eroded = tiny
    result = ismv(field, mask, grid, IsmvParams(radius=1.3, iterations=200, tolerance=1e-6), device=device)
    background = np.where(mask, field, 0).reshape(-1).astype(float)
    rows = high_pass[eroded]
    for _ in range(600):
        background[eroded] -= 0.4 * (rows @ background)
    expected = np.where(eroded, field.reshape(-1) - background, 0)
    assert np.abs(to_numpy(result.local_field).reshape(-1) - expected).max() <= 1e-4


def test_resharp_agrees_with_the_dense_regularised_problem(tiny, device):
    grid, mask, field, high_pass, eroded = tiny
    params = ResharpParams(radius=1.3, iterations=300, tolerance=1e-6, **{"lambda": 0.05})
    result = resharp(field, mask, grid, params, device=device)
    a = high_pass[eroded]
    data = a @ np.where(mask, field, 0).reshape(-1)
    expected = np.linalg.solve(a.T @ a + 0.05 * np.eye(a.shape[1]), a.T @ data)
    found = to_numpy(result.local_field).reshape(-1)
    assert np.abs((found - expected)[eroded]).max() <= 1e-3


@pytest.mark.parametrize(("run", "params"), [(resharp, ResharpParams(radius=4)), (ismv, IsmvParams(radius=4))])
def test_solvers_report_and_can_be_stopped(run, params, device):
    mask, field = ellipsoid(GRID), inside_field(GRID) + outside_field(GRID)
    told: list[Any] = []
    run(field, mask, GRID, params, device=device, callback=told.append)
    assert told[-1].reason == "converged"
    assert told[-1].residual <= params.tolerance
    run(field, mask, GRID, params, device=device, callback=lambda s: told.append(s) or False)
    assert (told[-1].iteration, told[-1].reason) == (5, None)
