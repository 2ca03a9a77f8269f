"""Weak-harmonic QSM: a remnant of the background does no harm, and none is missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.inversion.fansi_tv import FansiTvParams, fansi_tv
from qsmengine.stages.inversion.weak_harmonic import WeakHarmonicParams, weak_harmonic
from tests.stages.inversion.heads import SHAPE, head, nrmse

ECHO_TIME = 0.02
RADIANS = 2 * np.pi * 42.576 * 3.0 * ECHO_TIME


def invert(field, mask, grid, device, weight=None, callback=None, **params):
    settings = WeakHarmonicParams(**{"echo_time": ECHO_TIME, **params})
    result = weak_harmonic(field, mask, grid, settings, device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


def remnant():
    x, y, z = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) * n / 40 for n in SHAPE], indexing="ij"))
    return 0.02 * (x * x - y * y) + 0.015 * z + 0.02 * y * z


@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_a_remnant_of_the_background_is_taken_away(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    total = field + remnant()
    without = to_numpy(fansi_tv(total, mask, grid, FansiTvParams(), device=device))
    estimate = invert(total, mask, grid, device)
    assert nrmse(estimate, chi, mask) <= 0.5 * nrmse(without, chi, mask)
    assert (estimate[~mask] == 0).all()


def test_noise_free_truth_is_recovered_without_a_remnant(device, rng):
    chi, mask, field, grid = head(rng)
    assert nrmse(invert(field, mask, grid, device), chi, mask) <= 0.2


def test_whole_turns_of_the_phase_do_not_matter(device, rng):
    _, mask, field, grid = head(rng)
    turns = rng.integers(-3, 4, SHAPE)
    options = {"iterations": 30, "tolerance": 0.0}
    plain = invert(field, mask, grid, device, **options)
    jumps = invert(field + turns * 2 * np.pi / RADIANS, mask, grid, device, **options)
    assert np.abs(jumps - plain).max() <= 2e-4 * np.abs(plain).max()


def test_weights_are_believed_and_their_unit_does_not_matter(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(noisy, mask, grid, device)
    weighted = invert(noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < 0.7 * nrmse(flat, chi, mask)
    scaled = invert(noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5


def test_it_tells_how_it_stopped_and_needs_a_field_strength(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, iterations=15, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None), (15, "iterations")]
    with pytest.raises(InputError, match="field strength"):
        invert(field, mask, grid.replace(field_strength=None), device)
