"""The first mask leaves poor phase out, the second fills its holes and never leaves the mask given."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.inversion.two_pass import CombinationParams, combine_passes
from qsmengine.stages.mask.two_pass import TwoPassParams, two_pass

SHAPE = (22, 20, 18)
GRID = Grid.from_voxel_size(SHAPE, (2.0, 2.0, 2.0), field_strength=3.0)
TIMES = (0.004, 0.010)


@pytest.fixture
def case(rng):
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    hole = np.zeros(SHAPE, bool)
    hole[8:13, 8:12, 7:11] = True
    x, y, z = np.indices(SHAPE)
    phase = (30 * 2 * np.pi * (1 + 0.02 * x - 0.01 * y * z / 9))[..., None] * np.array(TIMES) + 0.5
    phase = np.where(hole[..., None], rng.uniform(-np.pi, np.pi, (*SHAPE, 2)), phase)
    wrapped = np.angle(np.exp(1j * phase)).astype(np.float32)
    return wrapped, np.full((*SHAPE, 2), 100, np.float32), mask, hole


def masks(case, device, mask=None, echoes=2, **keywords):
    field_mask = keywords.pop("field_mask", None)
    given = case[2] if mask is None else mask
    found = two_pass(
        case[0][..., :echoes], case[1][..., :echoes], given, TIMES[:echoes], GRID, TwoPassParams(**keywords),
        device=device, field_mask=field_mask,
    )  # fmt: skip
    return to_numpy(found.reliable_mask), to_numpy(found.filled_mask)


@pytest.mark.parametrize("echoes", [1, 2])
def test_poor_phase_is_left_out_first_and_filled_then(case, device, echoes):
    reliable, whole = masks(case, device, echoes=echoes)
    mask, hole = case[2:]
    assert not reliable[9:12, 9:11, 8:10].any()
    assert reliable[mask & ~hole].mean() > 0.9
    assert (whole >= reliable).all()
    assert whole[hole].all()
    assert not (whole & ~mask).any()


def test_filling_is_bounded_by_the_mask_given(case, device):
    given = case[2].copy()
    given[10, 10, :] = False
    _, whole = masks(case, device, mask=given)
    assert not (whole & ~given).any()
    assert whole[9, 9, 9]


def test_field_mask_bounds_the_first_pass_only(case, device):
    allowed = case[2].copy()
    allowed[5, 5, 5] = False
    reliable, whole = masks(case, device, field_mask=allowed)
    assert not reliable[5, 5, 5]
    assert whole[5, 5, 5]
    with pytest.raises(InputError, match="no voxel is reliable"):
        masks(case, device, field_mask=np.zeros(SHAPE, bool))


def test_combination_takes_the_first_pass_and_the_second_shifted_in_its_holes(device, rng):
    first, second = (rng.standard_normal(SHAPE).astype(np.float32) for _ in range(2))
    mask = rng.random(SHAPE) < 0.8
    reliable = mask & (rng.random(SHAPE) < 0.7)
    chi = to_numpy(combine_passes(first, second, reliable, mask, GRID, CombinationParams(), device=device))
    shift = first[reliable].mean(dtype=float) - second[reliable].mean(dtype=float)
    np.testing.assert_array_equal(chi[reliable], first[reliable])
    np.testing.assert_allclose(chi[mask & ~reliable], second[mask & ~reliable] + shift, atol=1e-6)
    assert not chi[~mask].any()
    with pytest.raises(InputError, match="share no voxel"):
        combine_passes(first, second, mask & False, mask, GRID, CombinationParams(), device=device)
