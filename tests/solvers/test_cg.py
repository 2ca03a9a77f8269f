"""Conjugate gradients against dense solutions; what they say when they stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.vector import VEC_ADVANCE
from qsmengine.solvers.cg import solve_cg, solve_least_squares
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.vectors import dot, step


def multiply(matrix, device, shape):
    on_device = device.asarray(matrix)
    return lambda x: (on_device @ x.reshape(-1)).reshape(shape)


def spread_matrix(rng, n, largest):
    """Symmetric, eigenvalues from 1 to `largest`."""
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return q @ np.diag(np.geomspace(1, largest, n)) @ q.T


@pytest.mark.parametrize("n", [1, 7, 256, 20_011])
def test_sums_are_those_of_float64(n, device, rng):
    a, b = (rng.standard_normal(n).astype(np.float32) for _ in range(2))
    on_device = device.asarray(a.copy())
    assert float(dot(on_device, device.asarray(b), device)[0]) == pytest.approx(a.astype(float) @ b, abs=1e-9)
    length = device.asarray(np.array([0.25]), np.float64)
    squared = step(on_device, device.asarray(b), length, -1.0, device)
    expected = a - np.float32(0.25) * b
    assert np.allclose(to_numpy(on_device), expected, atol=1e-6)
    assert float(squared[0]) == pytest.approx((expected.astype(float) ** 2).sum(), rel=1e-6)


def test_advance_equals_numpy(device, rng):
    x, p, s = rng.standard_normal((3, 1000)).astype(np.float32)
    values = {name: device.asarray(v.copy()) for name, v in (("x", x), ("p", p), ("s", s))}
    alpha, beta = (device.asarray(np.array([v]), np.float64) for v in (0.7, -0.3))
    launch(VEC_ADVANCE, device, **values, alpha=alpha, beta=beta)
    assert np.allclose(to_numpy(values["x"]), x + 0.7 * p, atol=1e-6)
    assert np.allclose(to_numpy(values["p"]), s - 0.3 * p, atol=1e-6)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_cg_solves_a_dense_system(preconditioned, device, rng):
    scales = np.geomspace(1, 30, 60)
    a = scales[:, None] * spread_matrix(rng, 60, 10) * scales
    truth = rng.standard_normal((3, 4, 5)).astype(np.float32)
    b = device.asarray((a @ truth.reshape(-1)).reshape(truth.shape))
    jacobi = device.asarray((1 / np.diag(a)).reshape(truth.shape))
    precondition = (lambda r: jacobi * r) if preconditioned else None
    result = solve_cg(multiply(a, device, truth.shape), b, device, Stopping(400, 1e-7), precondition)
    assert result.status.reason == "converged"
    assert np.abs(to_numpy(result.x) - truth).max() <= 2e-3
    if preconditioned:
        plain = solve_cg(multiply(a, device, truth.shape), b, device, Stopping(400, 1e-7))
        assert result.status.iteration < plain.status.iteration


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_least_squares_agree_with_the_dense_normal_equations(damping, device, rng):
    a = rng.standard_normal((90, 40))
    b = rng.standard_normal(90).astype(np.float32)
    result = solve_least_squares(
        multiply(a, device, (90,)), multiply(a.T, device, (8, 5)), device.asarray(b), device,
        Stopping(200, 1e-6), damping=damping,
    )  # fmt: skip
    expected = np.linalg.solve(a.T @ a + damping * np.eye(40), a.T @ b)
    assert result.status.reason == "converged"
    assert np.abs(to_numpy(result.x).reshape(-1) - expected).max() <= 1e-4


def test_early_iterations_leave_out_what_the_operator_hardly_sees(device, rng):
    scales = np.array([1.0] * 10 + [1e-3] * 10)
    truth = np.ones(20)
    noisy = scales * truth + 1e-2 * rng.standard_normal(20)
    apply = multiply(np.diag(scales), device, (20,))
    few = solve_least_squares(apply, apply, device.asarray(noisy), device, Stopping(1, 0.0)).x
    assert np.abs(to_numpy(few)[:10] - 1).max() < 0.05
    assert np.abs(to_numpy(few)[10:]).max() < 0.05


def test_status_is_told_at_every_test_and_says_why_it_ended(device, rng):
    apply = multiply(spread_matrix(rng, 30, 1e4), device, (30,))
    b = device.asarray(rng.standard_normal(30))
    told: list[Any] = []
    result = solve_cg(apply, b, device, Stopping(12, 1e-12, 5, told.append))
    assert [s.iteration for s in told] == [5, 10, 12]
    assert [s.reason for s in told] == [None, None, "iterations"]
    stopped = solve_least_squares(apply, apply, b, device, Stopping(100, 1e-12, 2, lambda s: s.iteration < 4))
    assert (stopped.status.iteration, stopped.status.reason) == (4, "callback")
    residual = to_numpy(b) - to_numpy(apply(result.x))
    assert result.status.residual == pytest.approx(
        np.linalg.norm(residual) / np.linalg.norm(to_numpy(b)), rel=1e-3
    )


def test_nothing_to_solve_gives_zero(device):
    zeros = device.zeros((4, 5))
    for result in (
        solve_cg(lambda x: 2 * x, zeros, device, Stopping(10, 1e-6)),
        solve_least_squares(lambda x: x, lambda r: r, zeros, device, Stopping(10, 1e-6)),
    ):
        assert not to_numpy(result.x).any()
        assert (result.status.residual, result.status.reason) == (0.0, "converged")


def test_right_hand_sides_are_kept(device, rng):
    b = device.asarray(rng.standard_normal(50))
    before = to_numpy(b).copy()
    solve_cg(lambda x: 3 * x, b, device, Stopping(3, 0.0))
    solve_least_squares(lambda x: 3 * x, lambda r: 3 * r, b, device, Stopping(3, 0.0))
    assert np.array_equal(to_numpy(b), before)
