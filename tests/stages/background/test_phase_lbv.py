"""The local field straight from wrapped phase is that of LBV from the field itself."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.wrapped_sources import WRAPPED_SOURCES
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.solvers.multigrid import compact_weights
from qsmengine.stages.background.lbv import LbvParams, lbv
from qsmengine.stages.background.phase_lbv import PhaseLbvParams, phase_lbv
from tests.stages.background.fields import FLAT, GRID, ellipsoid, inside_field, outside_field

TIMES = (0.004, 0.011, 0.020)
HZ_PER_PPM = 42.576 * 3.0
STEPS = [np.array(d) for d in np.ndindex(3, 3, 3) if sum(abs(np.array(d) - 1)) in {1, 2}]


def echoes(field, times, offset=0.0):
    angle = 2 * np.pi * HZ_PER_PPM * field[..., None] * np.asarray(times) + offset
    magnitude = np.full(angle.shape, 1.0) * np.exp(-20 * np.asarray(times))
    return np.angle(np.exp(1j * angle)).astype(np.float32), magnitude.astype(np.float32)


def make(field, mask, grid, device, times=TIMES, offset=0.0, **params):
    phase, magnitude = echoes(field, times, offset)
    result = phase_lbv(phase, magnitude, mask, times, grid, PhaseLbvParams(**params), device=device)
    return to_numpy(result.local_field), to_numpy(result.mask)


@pytest.mark.parametrize("grid", [GRID, FLAT], ids=["isotropic", "anisotropic"])
@pytest.mark.parametrize("times", [TIMES, TIMES[2:]], ids=["three echoes", "one echo"])
def test_local_field_is_that_of_lbv_without_unwrapping(grid, times, device):
    mask, field = ellipsoid(grid), 3 * (inside_field(grid) + outside_field(grid))
    expected = lbv(field, mask, grid, LbvParams(peel=1, tolerance=1e-6), device=device)
    local, reliable = make(field, mask, grid, device, times, offset=1.3, tolerance=1e-6)
    np.testing.assert_array_equal(reliable, to_numpy(expected.mask))
    assert np.abs(local - to_numpy(expected.local_field)).max() < 2e-3 * np.abs(local).max()
    wraps = np.abs(2 * np.pi * HZ_PER_PPM * field[mask] * max(times)).max() / np.pi
    assert wraps > 1.5, "the case holds no wraps"


def test_background_vanishes(device):
    mask, field = ellipsoid(GRID), outside_field(GRID)
    local, _ = make(field, mask, GRID, device, peel=0)
    assert np.abs(local).max() <= 0.015 * np.abs(field[mask]).max()


def test_sources_are_the_weighted_slopes_of_the_steps_over_time(device, rng):
    shape, times = (6, 7, 70), np.array([0.3, 0.9, 1.4], np.float32)
    field = rng.uniform(-4, 4, shape)
    phase = np.angle(np.exp(1j * (times[:, None, None, None] * field))).astype(np.float32)
    phase += 0.02 * rng.standard_normal(phase.shape).astype(np.float32)
    magnitude = rng.uniform(0.5, 1.5, phase.shape).astype(np.float32)
    inside = (rng.random(shape) < 0.8).astype(np.uint8)
    weights = {n: w for n, w in compact_weights((1.0, 1.3, 0.8)).items() if n != "centre"}
    found = device.empty(shape)
    launch(
        WRAPPED_SOURCES, device, phase=device.asarray(phase), magnitude=device.asarray(magnitude),
        inside=device.asarray(inside, np.uint8), times=device.asarray(times), sources=found, scale=1.0,
        **weights,
    )  # fmt: skip
    expected = np.zeros(shape)
    core = (slice(1, -1),) * 3
    for step in STEPS:
        axes = "".join(a for a, d in zip("xyz", step - 1, strict=True) if d)
        there = tuple(slice(d, n - 2 + d) for d, n in zip(step, shape, strict=True))
        m, r = magnitude[:, *core].astype(float) ** 2, magnitude[:, *there].astype(float) ** 2
        change = phase[:, *there].astype(float) - phase[:, *core]
        true = field[there] - field[core]
        change += 2 * np.pi * np.rint((times[:, None, None, None] * true - change) / (2 * np.pi))
        w = m * r / (m + r) * times[:, None, None, None]
        slope = (w * change).sum(0) / (w * times[:, None, None, None]).sum(0)
        expected[core] += weights[("f" if len(axes) == 1 else "e") + axes] * slope
    small = np.abs(0.3 * (field.max() - field.min())) < np.pi
    assert small
    np.testing.assert_allclose(to_numpy(found), expected * (inside > 0), atol=2e-4)


def test_missing_field_strength_and_thin_masks_are_named(device):
    field, mask = inside_field(GRID), ellipsoid(GRID)
    nameless = Grid.from_voxel_size(GRID.shape, GRID.voxel_size)
    with pytest.raises(InputError, match="MagneticFieldStrength"):
        make(field, mask, nameless, device)
    thin = np.zeros_like(mask)
    thin[:, :, 10:12] = True
    with pytest.raises(InputError, match="nothing is left of the mask"):
        make(field, thin, GRID, device)
