"""Fluid is found by its slow decay, whatever the scale of the magnitude and the echo times."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.single_step.fluid import relative_decay, wide_fluid

SHAPE, VOXEL = (18, 16, 14), (1.0, 1.0, 1.0)


def series(rng, times, *, share=0.05, ventricle=True):
    fluid = rng.random(SHAPE) < share
    if ventricle:
        fluid[4:12, 4:11, 3:10] = True
    rate = np.where(fluid, rng.uniform(1, 3, SHAPE), rng.uniform(15, 30, SHAPE))
    start = rng.uniform(50, 90, SHAPE) * np.exp(-rate * times[0])
    return fluid, start[..., None] * np.exp(-rate[..., None] * (np.asarray(times) - times[0]))


def find(magnitude, inside, device, voxel=VOXEL):
    decay = relative_decay(device.asarray(magnitude), device.asarray(inside, bool), device)
    found = None if decay is None else wide_fluid(decay, 0.3, voxel, device)
    return None if found is None else to_numpy(found)


@pytest.mark.parametrize("times", [(0.005, 0.02), (0.004, 0.012, 0.02), (0.002, 0.004, 0.006, 0.008)])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_fluid_is_what_decays_slowly(times, scale, device, rng):
    fluid, magnitude = series(rng, times)
    inside = np.ones(SHAPE, bool)
    inside[:, :2] = False
    assert (find(scale * magnitude, inside, device) == (fluid & inside)).all()


def test_scattered_voxels_and_thin_sheets_are_no_fluid(device, rng):
    inside = np.ones(SHAPE, bool)
    _, scattered = series(rng, (0.005, 0.02), share=0.1, ventricle=False)
    assert find(scattered, inside, device) is None
    sheet = scattered.copy()
    sheet[5:7, ..., 1] = sheet[5:7, ..., 0]
    assert find(sheet, inside, device) is None
    _, wide = series(rng, (0.005, 0.02))
    assert find(wide, inside, device) is not None
    assert find(wide, inside, device, voxel=(0.2, 0.2, 0.2)) is None


def test_one_echo_and_no_decay_give_none(device, rng):
    inside = np.ones(SHAPE, bool)
    _, magnitude = series(rng, (0.005, 0.02))
    assert find(magnitude[..., :1], inside, device) is None
    assert find(np.ones((*SHAPE, 2)), inside, device) is None
    assert find(np.zeros((*SHAPE, 2)), inside, device) is None


def test_voxels_without_signal_are_no_fluid(device, rng):
    _, magnitude = series(rng, (0.005, 0.02))
    magnitude[:3] = 0
    found = find(magnitude, np.ones(SHAPE, bool), device)
    assert found.any()
    assert not found[:3].any()
