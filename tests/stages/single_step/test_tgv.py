"""TGV-QSM: the Laplacian of the wrapped phase is that of the field, and chi comes out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.ops.morphology import without_boundary
from qsmengine.stages.single_step.tgv import TgvParams, field_laplacian, tgv
from tests.stages.inversion.heads import SHAPE, head, nrmse
from tests.stages.single_step.test_tfi import TILTED, background

TIMES = (0.004, 0.012, 0.024)
RADIANS = 2 * np.pi * 42.576 * 3.0
"""Phase [rad] of 1 ppm in 1 s at 3 T."""


def wrapped(field, strength=3.0, offset=0.0):
    turned = RADIANS * strength / 3.0 * field[..., None] * np.array(TIMES) + offset
    return np.angle(np.exp(1j * turned)).astype(np.float32)


def invert(phase, mask, grid, device, callback=None, magnitude=None, **options):
    options.setdefault("iterations", 60)
    params = TgvParams(**options)
    result = tgv(phase, mask, TIMES, grid, params, device=device, magnitude=magnitude, callback=callback)
    return [to_numpy(array) for array in result]


def expected_laplacian(field, voxel):
    """The compact difference of 19 points, in double precision, away from the ends of the image."""
    parts = [(np.roll(field, 1, a) + np.roll(field, -1, a) - 2 * field) / h**2 for a, h in enumerate(voxel)]
    total = sum(parts)
    for d in range(3):
        for e in range(d):
            mixed = (np.roll(parts[e], 1, d) + np.roll(parts[e], -1, d) - 2 * parts[e]) / voxel[d] ** 2
            total = total + (voxel[d] ** 2 + voxel[e] ** 2) / 12 * mixed
    return total


@pytest.mark.parametrize(("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), TILTED])
def test_laplacian_of_the_wrapped_phase_is_that_of_the_field(voxel, b0, device, rng):
    _, mask, field, grid = head(rng, voxel, b0)
    field = field + background(grid)
    inside = device.asarray(mask, np.uint8)
    inner = without_boundary(device.asarray(mask, bool))
    offset = rng.uniform(-3, 3)
    assert (np.abs(np.diff(wrapped(field, offset=offset)[mask], axis=0)) > np.pi).any()
    found, weight = field_laplacian(wrapped(field, offset=offset), None, inside, inner, TIMES, grid, device)
    chosen = to_numpy(inner)
    expected = expected_laplacian(field, voxel)
    assert np.abs(to_numpy(found) - expected)[chosen].max() <= 1e-4 * np.abs(expected[chosen]).max()
    assert not to_numpy(found)[~chosen].any()
    assert to_numpy(weight)[chosen].mean() == pytest.approx(1, rel=1e-5)


def test_echoes_whose_steps_exceed_half_a_turn_are_left_out(device, rng):
    _, mask, field, grid = head(rng)
    x = np.linspace(-1, 1, SHAPE[0])[:, None, None]
    steep = field + 20 * np.maximum(x - 0.2, 0) ** 3
    steps = RADIANS * np.abs(np.diff(steep, axis=0))[mask[1:]]
    assert steps.max() * TIMES[0] < 2.5
    assert steps.max() * TIMES[2] > 4.0
    inner = without_boundary(device.asarray(mask, bool))
    inside = device.asarray(mask, np.uint8)
    found, weight = field_laplacian(wrapped(steep), None, inside, inner, TIMES, grid, device)
    chosen, expected = to_numpy(inner), expected_laplacian(steep, (1.0, 1.0, 1.0))
    assert np.abs(to_numpy(found) - expected)[chosen].max() <= 1e-3 * np.abs(expected[chosen]).max()
    low, high = np.percentile(to_numpy(weight)[chosen], [1, 99])
    assert low < 0.5 * high


@pytest.mark.parametrize(("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), TILTED])
def test_truth_is_recovered_from_wrapped_phase_with_background(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    estimate, _, inner = invert(wrapped(field + background(grid)), mask, grid, device, iterations=120)
    assert nrmse(estimate, chi, inner) <= 0.25
    assert not estimate[~inner].any()
    assert (inner == to_numpy(without_boundary(device.asarray(mask, bool)))).all()


def test_background_and_phase_offset_do_not_change_the_result(device, rng):
    _, mask, field, grid = head(rng)
    options = {"iterations": 40, "tolerance": 0.0}
    alone = invert(wrapped(field), mask, grid, device, **options)[0]
    both = invert(wrapped(field + background(grid), offset=1.0), mask, grid, device, **options)[0]
    assert np.linalg.norm(alone - both) <= 0.05 * np.linalg.norm(alone)


def test_field_strength_does_not_matter(device, rng):
    _, mask, field, grid = head(rng)
    first = invert(wrapped(field), mask, grid, device, iterations=30)[0]
    strong = grid.replace(field_strength=7.0)
    second = invert(wrapped(field, 7.0), mask, strong, device, iterations=30)[0]
    assert np.abs(first - second).max() <= 1e-3 * np.abs(first).max()


def test_magnitude_lowers_the_weight_of_noisy_voxels(device, rng):
    chi, mask, field, grid = head(rng)
    magnitude = np.where(rng.random(SHAPE) < 0.3, 2.0, 100.0)[..., None] * np.ones(3)
    signal = magnitude * np.exp(1j * RADIANS * field[..., None] * np.array(TIMES))
    signal += rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape)
    phase = np.angle(signal).astype(np.float32)
    flat, _, inner = invert(phase, mask, grid, device)
    weighted = invert(phase, mask, grid, device, magnitude=magnitude.astype(np.float32))[0]
    assert nrmse(weighted, chi, inner) < 0.9 * nrmse(flat, chi, inner)


def test_it_tells_how_it_stopped_and_names_what_is_missing(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(wrapped(field), mask, grid, device, callback=seen.append, iterations=15, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None), (15, "iterations")]
    seen = []
    invert(wrapped(field), mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert len(seen) == 1
    with pytest.raises(InputError, match="field strength"):
        invert(wrapped(field), mask, grid.replace(field_strength=None), device)
    thin = np.zeros_like(mask)
    thin[20:22, 10:20, 10:20] = True
    with pytest.raises(InputError, match="nothing is left of the mask"):
        invert(wrapped(field), thin, grid, device)
