"""Fluid is found by its slow decay, whatever the scale of the magnitude and the echo times."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.single_step.fluid import fluid_region

SHAPE = (14, 12, 10)


def series(rng, times, share=0.2):
    fluid = rng.random(SHAPE) < share
    rate = np.where(fluid, rng.uniform(1, 3, SHAPE), rng.uniform(15, 30, SHAPE))
    magnitude = np.stack([rng.uniform(50, 90, SHAPE) * np.exp(-rate * times[0])] * len(times), -1)
    return fluid, magnitude * np.exp(-rate[..., None] * (np.asarray(times) - times[0]))


@pytest.mark.parametrize("times", [(0.005, 0.02), (0.004, 0.012, 0.02), (0.002, 0.004, 0.006, 0.008)])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_fluid_is_what_decays_slowly(times, scale, device, rng):
    fluid, magnitude = series(rng, times)
    inside = rng.random(SHAPE) < 0.8
    found = fluid_region(device.asarray(scale * magnitude), device.asarray(inside, bool), 0.3, device)
    assert (to_numpy(found) == (fluid & inside)).all()


def test_one_echo_no_fluid_and_no_decay_give_none(device, rng):
    inside = device.asarray(np.ones(SHAPE), bool)
    _, magnitude = series(rng, (0.005, 0.02))
    assert fluid_region(device.asarray(magnitude[..., :1]), inside, 0.3, device) is None
    _, dry = series(rng, (0.005, 0.02), share=0.0)
    assert fluid_region(device.asarray(dry), inside, 0.3, device) is None
    assert fluid_region(device.asarray(np.ones((*SHAPE, 2))), inside, 0.3, device) is None
    assert fluid_region(device.zeros((*SHAPE, 2)), inside, 0.3, device) is None


def test_voxels_without_signal_are_no_fluid(device, rng):
    _, magnitude = series(rng, (0.005, 0.02))
    magnitude[:3] = 0
    found = fluid_region(device.asarray(magnitude), device.asarray(np.ones(SHAPE), bool), 0.3, device)
    assert found is not None
    assert not to_numpy(found)[:3].any()
