"""Rapid two-step inversion: truth, weights, both steps at work and reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.inversion.rts import RtsParams, rts
from tests.stages.inversion.heads import SHAPE, head, nrmse


def invert(field, mask, grid, device, weight=None, callback=None, **params):
    result = rts(field, mask, grid, RtsParams(**params), device=device, weight=weight, callback=callback)
    return to_numpy(result).astype(float)


@pytest.mark.parametrize(
    ("voxel", "b0"), [((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((0.9, 1.1, 1.4), (0.0, np.sin(0.4), np.cos(0.4)))]
)
def test_noise_free_truth_is_recovered(voxel, b0, device, rng):
    chi, mask, field, grid = head(rng, voxel, b0)
    estimate = invert(field, mask, grid, device)
    assert nrmse(estimate, chi, mask) <= 0.45
    assert (estimate[~mask] == 0).all()


def test_total_variation_improves_on_the_first_step(device, rng):
    chi, mask, field, grid = head(rng)
    estimate = invert(field, mask, grid, device)
    first_only = invert(field, mask, grid, device, delta=1e-6, **{"lambda": 1e-12})
    assert nrmse(estimate, chi, mask) < 0.9 * nrmse(first_only, chi, mask)


def test_delta_and_lambda_change_the_result(device, rng):
    _, mask, field, grid = head(rng)
    plain = invert(field, mask, grid, device)
    for change in ({"delta": 0.3}, {"lambda": 1e-3}):
        assert np.abs(invert(field, mask, grid, device, **change) - plain).max() > 1e-3


def test_both_steps_report_and_the_second_never_stops_after_one_iteration(device, rng):
    _, mask, field, grid = head(rng)
    seen: list[Any] = []
    invert(field, mask, grid, device, callback=seen.append, first_iterations=4, tolerance=1e9)
    assert [(s.iteration, s.reason) for s in seen] == [(4, "iterations"), (10, "converged")]
    seen = []
    invert(field, mask, grid, device, callback=lambda s: seen.append(s) or False, tolerance=0.0)
    assert seen[-1].iteration == 10


def test_weights_are_believed_and_their_unit_does_not_matter(device, rng):
    chi, mask, field, grid = head(rng)
    noise = np.where(rng.random(SHAPE) < 0.3, 0.02, 0.0005)
    noisy = field + noise * rng.standard_normal(SHAPE)
    flat = invert(noisy, mask, grid, device)
    weighted = invert(noisy, mask, grid, device, weight=1 / noise)
    assert nrmse(weighted, chi, mask) < 0.8 * nrmse(flat, chi, mask)
    scaled = invert(noisy, mask, grid, device, weight=1000 / noise)
    assert np.abs(scaled - weighted).max() <= 1e-5
