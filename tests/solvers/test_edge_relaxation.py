"""Total variation is relaxed at the edges of the solution, in a region, and thereby keeps the contrast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.ops.faces import faces_within
from qsmengine.solvers.edge_relaxation import EdgeRelaxation
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tv_harmonic import HarmonicTerm, solve_tv_harmonic
from tests.solvers.test_tv_variants import blocks, harmonic_problem

SPACING = (1.0, 1.5, 2.0)
OPTIONS: dict[str, Any] = {"mu_gradient": 5e-3, "mu_data": 0.3, "mu_harmonic": 1.0}


def test_only_the_steepest_faces_of_the_region_are_removed(device, rng):
    x = rng.normal(0, 1e-3, (10, 11, 12)).astype(np.float32)
    x[4:7, 4:8, 4:8] += 1
    region = np.zeros(x.shape, bool)
    region[2:9, 1:9, 2:11] = True
    faces = device.asarray(np.full(x.shape, 7), np.uint8)
    surface = 2 * (16 + 12 + 12)
    share = surface / sum(int(((to_numpy(faces_within(region)) >> a) & 1).sum()) for a in range(3))
    EdgeRelaxation(device.asarray(region, bool), share, (1,)).apply(device.asarray(x), faces, SPACING)
    found = to_numpy(faces)
    for axis in range(3):
        removed = (found >> axis) & 1 == 0
        steep = np.abs(np.roll(x, -1, axis) - x) > 0.5
        np.testing.assert_array_equal(removed, steep)


def test_an_empty_region_changes_nothing(device, rng):
    x = device.asarray(rng.normal(size=(5, 6, 7)))
    faces = device.asarray(np.full(x.shape, 7), np.uint8)
    EdgeRelaxation(device.asarray(np.zeros(x.shape), bool), 0.5, (1,)).apply(x, faces, SPACING)
    assert (to_numpy(faces) == 7).all()


def test_contrast_that_total_variation_takes_is_kept(device, rng):
    problem, region = harmonic_problem(device, rng, 5e-4)
    faces = device.asarray(np.full(problem.data.shape, 7), np.uint8)
    problem, truth = replace(problem, faces=faces), blocks()
    high = truth == truth.max()

    def contrast(relaxation):
        x = solve_tv_harmonic(
            problem, HarmonicTerm(region, 50.0), device, Stopping(120, 0.0), relaxation=relaxation, **OPTIONS
        )
        return to_numpy(x)[high].mean() / truth[high].mean()

    plain = contrast(None)
    relaxed = contrast(EdgeRelaxation(region > 0, 0.1, (45, 75)))
    assert plain < 0.9
    assert abs(relaxed - 1) < 0.5 * abs(plain - 1)
    assert (to_numpy(faces) == 7).all()


def test_relaxation_needs_faces(device, rng):
    problem, region = harmonic_problem(device, rng, 1e-3, shape=(8, 8, 10))
    with pytest.raises(ValueError, match="which has none"):
        solve_tv_harmonic(
            problem, HarmonicTerm(region, 50.0), device, Stopping(2, 0.0),
            relaxation=EdgeRelaxation(region > 0, 0.1, (1,)), **OPTIONS,
        )  # fmt: skip
