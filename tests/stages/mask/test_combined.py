"""Quality masks leave incoherent phase out; combination, filling and erosion do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.mask.bet import BetParams, bet
from qsmengine.stages.mask.combined import CombinedParams, combined
from qsmengine.stages.mask.phase_magnitude import PhaseMagnitudeParams, phase_magnitude
from qsmengine.stages.mask.phase_quality import PhaseQualityParams, phase_quality

TIMES = (0.005, 0.012)
SHAPE = (44, 40, 36)
GRID = Grid.from_voxel_size(SHAPE, (4.0, 4.0, 4.0), field_strength=3.0)
CENTRE = (22, 20, 18)


@pytest.fixture(scope="module")
def head():
    """Brain of 60 mm, dark bone, skin; phase quadratic in space; noise outside and in a hole in the brain."""
    rng = np.random.default_rng(3)
    axes = [(np.arange(n) - c) * 4.0 for n, c in zip(SHAPE, CENTRE, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    brain, hole = r < 60, np.sqrt((x - 20) ** 2 + y**2 + z**2) < 9
    magnitude = np.where(brain, 600.0, np.where((r > 68) & (r < 76), 700.0, 10.0))
    field = 40 + 0.2 * x - 0.003 * y**2
    times = np.array(TIMES)
    phase = 2 * np.pi * field[..., None] * times + 0.4
    coherent = (magnitude > 100) & ~hole
    phase = np.where(coherent[..., None], phase, rng.uniform(-np.pi, np.pi, phase.shape))
    signal = magnitude[..., None] * np.exp(1j * phase)
    return np.abs(signal).astype("f4"), np.angle(signal).astype("f4"), brain, hole, r


def quality(magnitude, phase, times=TIMES, **params):
    return to_numpy(phase_quality(phase, magnitude, times, GRID, PhaseQualityParams(**params), device=cpu(1)))


def both(head, **params):
    magnitude, phase = head[:2]
    return to_numpy(combined(magnitude, phase, TIMES, GRID, CombinedParams(**params), device=cpu(1)))


@pytest.mark.parametrize("echoes", [1, 2])
def test_quality_mask_holds_coherent_phase_only(head, echoes):
    magnitude, phase, _, hole, r = head
    mask = quality(magnitude[..., :echoes], phase[..., :echoes], TIMES[:echoes], largest=False)
    assert mask[(r < 52) & ~hole].mean() > 0.97
    inner = np.sqrt(((np.indices(SHAPE) - np.array(CENTRE).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    assert mask[hole & (inner < 7)].mean() < 0.15
    assert mask[r > 80].mean() < 0.05


def test_largest_part_fill_and_closing_of_the_quality_mask(head):
    magnitude, phase, _, hole, r = head
    largest, filled = quality(magnitude, phase), quality(magnitude, phase, fill=True)
    assert not largest[r > 66].any()
    assert filled[hole].all()
    assert not largest[hole].all()
    closed = quality(magnitude, phase, closing=16.0)
    assert closed[hole].mean() > largest[hole].mean()


def test_threshold_is_monotonic_and_one_that_leaves_nothing_is_an_error(head):
    magnitude, phase = head[:2]
    sizes = [quality(magnitude, phase, threshold=t).sum() for t in (0.3, 0.6, 0.9)]
    assert sizes[0] > sizes[1] > sizes[2]
    with pytest.raises(InputError, match=r"phase quality above 0\.999"):
        quality(magnitude, phase, threshold=0.999)
    with pytest.raises(InputError, match="no signal"):
        quality(np.zeros_like(magnitude), phase)


def test_and_or_are_those_of_the_two_masks(head):
    magnitude, phase = head[:2]
    brain = to_numpy(bet(magnitude, GRID, BetParams(), device=cpu(1)))
    coherent = quality(magnitude, phase)
    raw = {"largest": False, "fill": False}
    np.testing.assert_array_equal(both(head, **raw), brain & coherent)
    np.testing.assert_array_equal(both(head, operation="or", **raw), brain | coherent)
    other = to_numpy(phase_magnitude(magnitude, phase, TIMES, GRID, PhaseMagnitudeParams(), device=cpu(1)))
    np.testing.assert_array_equal(both(head, brain="phase_magnitude", **raw), other & coherent)


def test_holes_are_filled_and_layers_taken_off(head):
    hole, r = head[3], head[4]
    mask, eroded = both(head), both(head, erosion=8.0)
    assert mask[hole].all()
    assert not both(head, fill=False)[hole].all()
    assert eroded[r < 45].all()
    assert not eroded[r > 55].any()
    assert (eroded <= mask).all()


def test_parameters_of_the_parts_are_passed_on(head):
    mask = both(head, phase_quality={"threshold": 0.5}, bet={"threshold": 0.5}, fill=False, largest=False)
    magnitude, phase = head[:2]
    brain = to_numpy(bet(magnitude, GRID, BetParams(threshold=0.5), device=cpu(1)))
    np.testing.assert_array_equal(mask, brain & quality(magnitude, phase, threshold=0.5))


def test_nothing_left_is_an_error(head):
    with pytest.raises(InputError, match="nothing is left"):
        both(head, erosion=100.0)
