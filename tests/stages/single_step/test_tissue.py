"""Tissue of one susceptibility: its classes follow from the decay, do not overlap, and need wide fluid."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.single_step.tissue import tissue_regions

SHAPE, VOXEL, TIMES = (24, 22, 20), (1.0, 1.0, 1.0), (0.005, 0.02)


def brain(rng):
    """Relative decay (median 1) and magnitude of a box with ventricles, within a mask."""
    inside = np.zeros(SHAPE, bool)
    inside[2:-2, 2:-2, 2:-2] = True
    decay = rng.choice([0.6, 0.7, 0.95, 1.0, 1.05, 1.1, 1.5], SHAPE)
    decay[rng.random(SHAPE) < 0.1] = 0.4
    decay[8:15, 7:14, 6:13] = 0.1
    decay /= np.median(decay[inside])
    magnitude = np.stack([100 * np.exp(-20 * decay * t) for t in TIMES], -1)
    return inside, decay, magnitude * rng.uniform(50, 100, SHAPE)[..., None]


def regions(magnitude, inside, device):
    found = tissue_regions(
        None if magnitude is None else device.asarray(magnitude),
        device.asarray(inside, bool),
        0.3,
        VOXEL,
        device,
    )
    return {name: to_numpy(region) for name, region in found.items()}


def test_classes_follow_from_the_decay_and_do_not_overlap(device, rng):
    inside, decay, magnitude = brain(rng)
    found = regions(magnitude, inside, device)
    assert (found["fluid"] == (inside & (decay < 0.3))).all()
    assert (found["mixed"] == (inside & (decay >= 0.3) & (decay < 0.5))).all()
    assert sum(region.astype(int) for region in found.values()).max() == 1


def test_the_rim_is_two_layers_without_veins_and_cortex_everywhere(device, rng):
    inside, decay, magnitude = brain(rng)
    deep = np.zeros(SHAPE, bool)
    deep[4:-4, 4:-4, 4:-4] = True
    rim = regions(magnitude, inside, device)["rim"]
    assert (rim[inside & ~deep] == ((decay >= 0.5) & (decay < 1.2))[inside & ~deep]).all()
    assert (rim[deep] == ((decay >= 0.5) & (decay < 0.8))[deep]).all()
    assert not rim[~inside].any()


@pytest.mark.parametrize("given", ["nothing", "one echo", "no ventricles"])
def test_without_fluid_or_decay_no_tissue_is_known(given, device, rng):
    inside, _, magnitude = brain(rng)
    if given == "nothing":
        magnitude = None
    elif given == "one echo":
        magnitude = magnitude[..., :1]
    else:
        magnitude[8:15, 7:14, 6:13, 1] = magnitude[8:15, 7:14, 6:13, 0] * np.exp(-0.3)
    assert regions(magnitude, inside, device) == {}
