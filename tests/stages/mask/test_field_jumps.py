"""Voxels whose field differs abruptly from the neighbours' are excluded; steep but continuous fields stay."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.mask.field_jumps import FieldJumpsParams, field_jumps

SHAPE = (11, 9, 13)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 1.0), field_strength=3.0)


def reference(field, mask, rim, inner):
    kept = np.zeros_like(mask)
    for index in np.argwhere(mask):
        differences = []
        for axis in range(3):
            for step in (-1, 1):
                other = index.copy()
                other[axis] += step
                if 0 <= other[axis] < mask.shape[axis] and mask[tuple(other)]:
                    differences.append(abs(field[tuple(index)] - field[tuple(other)]))
        limit = inner if len(differences) == 6 else rim
        kept[tuple(index)] = 2 * sum(d > limit for d in differences) < len(differences)
    return kept


@pytest.mark.parametrize("shape", [SHAPE, (1, 4, 5), (4, 1, 6), (5, 3, 1), (2, 2, 2)])
def test_one_pass_equals_a_plain_count(shape, device, rng):
    field = rng.uniform(0, 0.3, shape).astype(np.float32)
    mask = rng.random(shape) > 0.1
    params = FieldJumpsParams(max_jump=0.15, rim_jump=0.1, passes=1)
    kept = field_jumps(field, mask, GRID, params, device=device)
    assert np.array_equal(to_numpy(kept), reference(field, mask, 0.1, 0.15))


def test_wrong_turns_are_found_and_a_steep_field_stays(device, rng):
    x, y, z = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    field = 0.08 * x - 0.05 * y + 0.002 * z**2 + 0.002 * rng.standard_normal(SHAPE)
    mask = np.ones(SHAPE, bool)
    assert to_numpy(field_jumps(field, mask, GRID, FieldJumpsParams(), device=device)).all()
    wrong = np.zeros(SHAPE, bool)
    wrong[4, 4, 6] = wrong[4, 4, 7] = wrong[0, 0, 0] = wrong[8, 2, 3] = True
    kept = to_numpy(field_jumps(field + 0.98 * wrong, mask, GRID, FieldJumpsParams(), device=device))
    assert np.array_equal(kept, ~wrong)


def test_a_vein_inside_stays_and_a_steep_rim_goes(device):
    mask = np.zeros(SHAPE, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    field = np.zeros(SHAPE)
    field[5, 4, 3:10] = 0.25
    field[1, :, :] = 0.2 * (np.indices(SHAPE)[1] + np.indices(SHAPE)[2])[1]
    kept = to_numpy(field_jumps(field, mask, GRID, FieldJumpsParams(), device=device))
    assert kept[2:-1, 1:-1, 1:-1].all()
    assert kept[1].mean() < 0.1


def test_passes_go_on_until_nothing_changes(device):
    field = np.zeros(SHAPE)
    field[5, 4] = np.arange(SHAPE[2]) * 0.5
    mask = np.zeros(SHAPE, bool)
    mask[5, 4] = mask[5, 5] = True
    once = to_numpy(field_jumps(field, mask, GRID, FieldJumpsParams(passes=1), device=device))
    often = to_numpy(field_jumps(field, mask, GRID, FieldJumpsParams(passes=9), device=device))
    assert often.sum() <= once.sum() < mask.sum()
    again = to_numpy(field_jumps(field, often, GRID, FieldJumpsParams(passes=1), device=device))
    assert np.array_equal(again, often)
