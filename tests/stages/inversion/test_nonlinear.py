"""The inversions whose data term is the phase: NDI, nonlinear total variation and TGV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.inversion.fansi_tgv import FansiTgvParams, fansi_tgv
from qsmengine.stages.inversion.fansi_tv import FansiTvParams, fansi_tv
from qsmengine.stages.inversion.ndi import NdiParams, ndi
from qsmengine.stages.inversion.weighted_tv import WeightedTvParams, weighted_tv
from tests.stages.inversion.heads import SHAPE, convolve, dipole, head, nrmse

METHODS: dict[str, Any] = {
    "ndi": (ndi, NdiParams),
    "fansi_tv": (fansi_tv, FansiTvParams),
    "fansi_tgv": (fansi_tgv, FansiTgvParams),
}
every = pytest.mark.parametrize("name", METHODS)
ECHO_TIME = 0.02
"""[s]: strongly nonlinear at the fields of these tests."""
RADIANS = 2 * np.pi * 42.576 * 3.0 * ECHO_TIME
"""Phase [rad] of 1 ppm at 3 T."""

PLAIN = {"point_spread": 0.0, "own_edges": 0.0}
"""Parameters with which `weighted_tv` penalises chi itself, everywhere."""


def invert(name, field, mask, grid, device, weight=None, callback=None, **params):
    method, kind = METHODS[name]
    if "echo_time" in kind.model_fields:
        params = {"echo_time": ECHO_TIME, **params}
    result = method(field, mask, grid, kind(**params), device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


def test_ndi_equals_its_formula(device, rng):
    shape, voxel, b0 = (12, 14, 18), (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)
    assert fast_shape(shape) == shape
    grid = Grid.from_voxel_size(shape, voxel, field_strength=3.0, b0_direction=b0)
    mask = rng.random(shape) > 0.3
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    field = 0.3 * rng.standard_normal(shape)
    weight = rng.uniform(0.2, 5, shape)
    options = {"alpha": 1e-2, "step": 3.0, "iterations": 7, "tolerance": 0.0, "margin": 0}
    result = invert("ndi", field, mask, grid, device, weight, **options)
    w2, d, x = (mask * weight / weight[mask].max()) ** 2, dipole(shape, voxel, b0), np.zeros(shape)
    for _ in range(7):
        error = np.sin(RADIANS * (convolve(x, d) - field)) / RADIANS
        x -= 3.0 * (convolve(w2 * error, d) + 1e-2 * x)
    assert np.abs(result - x * mask).max() <= 1e-5


@every
def test_whole_turns_of_the_phase_do_not_matter(name, device, rng):
    _, mask, field, grid = head(rng)
    turns = rng.integers(-3, 4, SHAPE)
    options = {"iterations": 30, "tolerance": 0.0}
    plain = invert(name, field, mask, grid, device, **options)
    jumps = invert(name, field + turns * 2 * np.pi / RADIANS, mask, grid, device, **options)
    assert np.abs(plain).max() > 0.05
    assert np.abs(jumps - plain).max() <= 2e-4 * np.abs(plain).max()


def test_fansi_tv_inverts_wrapped_single_echo_phase(device, rng):
    chi, mask, field, grid = head(rng)
    steep = 4.0 * field
    echo_time = 0.03
    radians = RADIANS * echo_time / ECHO_TIME
    wrapped = np.angle(np.exp(1j * radians * steep)) / radians
    assert (np.abs(wrapped - steep)[mask] > 0.01).sum() > 20
    estimate = invert("fansi_tv", wrapped, mask, grid, device, echo_time=echo_time)
    linear = to_numpy(weighted_tv(wrapped, mask, grid, WeightedTvParams(), device=device))
    assert nrmse(estimate, 4.0 * chi, mask) <= 0.15
    assert nrmse(estimate, 4.0 * chi, mask) <= 0.5 * nrmse(linear, 4.0 * chi, mask)


@every
@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_noise_free_truth_is_recovered(name, voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    estimate = invert(name, field, mask, grid, device)
    assert nrmse(estimate, chi, mask) <= {"ndi": 0.5, "fansi_tv": 0.08, "fansi_tgv": 0.25}[name]
    assert (estimate[~mask] == 0).all()


@every
def test_weights_are_believed_and_their_unit_does_not_matter(name, device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(name, noisy, mask, grid, device)
    weighted = invert(name, noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < 0.6 * nrmse(flat, chi, mask)
    scaled = invert(name, noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5


@every
def test_small_phases_do_not_feel_field_strength_and_echo_time(name, device, rng):
    _, mask, field, grid = head(rng)
    first = invert(name, 1e-2 * field, mask, grid, device, iterations=30)
    strong = grid.replace(field_strength=7.0)
    second = invert(name, 1e-2 * field, mask, strong, device, iterations=30, echo_time=0.01)
    assert np.abs(first - second).max() <= 1e-3 * np.abs(first).max()


def test_fansi_tv_is_weighted_tv_for_small_phases(device, rng):
    _, mask, field, grid = head(rng)
    options = {"lambda": 8e-6, "mu_gradient": 2e-2, "mu_data": 0.2, "noise_gain": 0.0, "iterations": 40}
    linear = to_numpy(weighted_tv(field, mask, grid, WeightedTvParams(**PLAIN, **options), device=device))
    nonlinear = invert("fansi_tv", field, mask, grid, device, echo_time=1e-4, **options)
    assert np.abs(linear - nonlinear).max() <= 1e-4


def test_fansi_tv_does_not_stall_for_small_penalties_of_the_data_split(device, rng):
    chi, mask, field, grid = head(rng)
    options = {"lambda": 8e-6, "mu_gradient": 2e-2, "mu_data": 2e-3, "noise_gain": 0.0, "tolerance": 0.0}
    linear = to_numpy(weighted_tv(field, mask, grid, WeightedTvParams(**PLAIN, **options), device=device))
    nonlinear = invert("fansi_tv", field, mask, grid, device, **options)
    assert nrmse(nonlinear, chi, mask) <= 1.1 * nrmse(linear, chi, mask)


def test_fansi_tv_ignores_voxels_that_are_wrong_by_whole_turns_where_weighted_tv_does_not(device, rng):
    chi, mask, field, grid = head(rng)
    wrong = field + (rng.random(SHAPE) < 0.02) * 2 * np.pi / RADIANS
    linear = to_numpy(weighted_tv(wrong, mask, grid, WeightedTvParams(), device=device))
    assert nrmse(invert("fansi_tv", wrong, mask, grid, device), chi, mask) < 0.2 * nrmse(linear, chi, mask)


@every
def test_it_tells_how_it_stopped_and_can_be_stopped(name, device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(name, field, mask, grid, device, callback=seen.append, iterations=25, tolerance=0.0)
    assert [(s.iteration, s.reason) for s in seen] == [(10, None), (20, None), (25, "iterations")]
    seen = []
    invert(name, field, mask, grid, device, callback=lambda s: seen.append(s) or False)
    assert len(seen) == 1
    assert 0 < seen[0].residual < 1


@every
def test_missing_field_strength_is_named(name, device, rng):
    _, mask, field, grid = head(rng)
    with pytest.raises(InputError, match="field strength"):
        invert(name, field, mask, grid.replace(field_strength=None), device)
