"""LSMR against dense linear algebra and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg

from qsmengine.backend.device import to_numpy
from qsmengine.solvers.lsmr import solve_lsmr
from qsmengine.solvers.stopping import Stopping


def operators(a, device) -> tuple[Any, Any]:
    on_device = device.asarray(a.astype(np.float32))
    return lambda x: on_device @ x, lambda r: on_device.T @ r


def test_it_finds_the_least_squares_solution(device, rng):
    a, b = rng.standard_normal((60, 25)), rng.standard_normal(60)
    solution = solve_lsmr(*operators(a, device), device.asarray(b), device, Stopping(60, 1e-5))
    assert solution.status.reason == "converged"
    assert np.abs(to_numpy(solution.x) - np.linalg.lstsq(a, b)[0]).max() <= 1e-4


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_early_iterates_are_those_of_scipy(iterations, device, rng):
    a, b = rng.standard_normal((40, 30)), rng.standard_normal(40)
    solution = solve_lsmr(*operators(a, device), device.asarray(b), device, Stopping(iterations, 0.0))
    peer = scipy.sparse.linalg.lsmr(a, b, atol=0, btol=0, conlim=0, maxiter=iterations)
    assert np.abs(to_numpy(solution.x) - peer[0]).max() <= 1e-5
    start = np.linalg.norm(a.T @ b)
    assert solution.status.residual == pytest.approx(peer[4] / start, rel=1e-3)
    assert (solution.status.iteration, solution.status.reason) == (iterations, "iterations")


def test_of_several_solutions_it_is_the_shortest(device, rng):
    a, b = rng.standard_normal((20, 45)), rng.standard_normal(20)
    solution = solve_lsmr(*operators(a, device), device.asarray(b), device, Stopping(100, 1e-6))
    assert np.abs(to_numpy(solution.x) - np.linalg.pinv(a) @ b).max() <= 1e-4


def test_zero_data_give_zero(device, rng):
    a = rng.standard_normal((20, 10))
    solution = solve_lsmr(*operators(a, device), device.zeros((20,)), device, Stopping(5, 0.0))
    assert (to_numpy(solution.x) == 0).all()
    assert solution.status.iteration >= 1
