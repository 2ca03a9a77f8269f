"""Total-variation deconvolution: one iteration against NumPy, optimality of the result, stopping."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tv import TV_DATA_STEP, TV_DATA_STEP_NONLINEAR, TV_GRADIENT_STEP
from qsmengine.backend.signatures.tv_absolute import TV_DATA_STEP_ABSOLUTE, TV_DATA_STEP_ABSOLUTE_PHASE
from qsmengine.ops.dipole import dipole_response
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tv_admm import PhaseError, TvProblem, solve_tv, squared_error

SPACING = (1.0, 0.8, 2.0)


def gradient(x):
    return np.stack([(np.roll(x, -1, a) - x) / h for a, h in enumerate(SPACING)])


def gradient_adjoint(g):
    return sum((np.roll(g[a], 1, a) - g[a]) / h for a, h in enumerate(SPACING))


RELAX = [0.0, 0.6]


@pytest.mark.parametrize("relax", RELAX)
@pytest.mark.parametrize("shape", [(4, 8, 144), (5, 9, 7), (3, 17, 33), (9, 6, 150), (2, 1, 1), (6, 10, 289)])
def test_gradient_step_equals_numpy(shape, relax, device, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    before = rng.standard_normal((3, *shape)).astype(np.float32)
    after, adjoint = device.empty(before.shape), device.empty(shape)
    t = 0.9
    launch(
        TV_GRADIENT_STEP, device, x=device.asarray(x), g=device.asarray(before), g_out=after, adjoint=adjoint,
        t=t, relax=relax, hx=1 / SPACING[0], hy=1 / SPACING[1], hz=1 / SPACING[2],
    )  # fmt: skip
    multiplier = np.clip(before, -t, t)
    z = before - multiplier
    g = (1 + relax) * gradient(x.astype(float)) - relax * z + multiplier
    assert np.abs(to_numpy(after) - g).max() <= 4e-6
    assert np.abs(to_numpy(adjoint) - gradient_adjoint(g - 2 * np.clip(g, -t, t))).max() <= 5e-5


@pytest.mark.parametrize("relax", RELAX)
def test_data_step_equals_numpy(relax, device, rng):
    ax, u, z, f = rng.standard_normal((4, 5, 6, 7)).astype(np.float32)
    w2 = rng.uniform(0, 2, ax.shape).astype(np.float32) * (rng.random(ax.shape) > 0.3)
    blend = (1 + relax) * ax - relax * (z - u)
    on_device = {"ax": device.asarray(blend), "u": device.asarray(u.copy())}
    arrays = {"f": device.asarray(f), "w2": device.asarray(w2)}
    launch(TV_DATA_STEP, device, **on_device, **arrays, mu=0.3, relax=relax)
    s = (1 + relax) * ax - relax * z + u
    z = (w2 * f + 0.3 * s) / (w2 + 0.3)
    assert np.allclose(to_numpy(on_device["u"]), s - z, atol=3e-6)
    assert np.allclose(to_numpy(on_device["ax"]), z - (s - z), atol=5e-6)


@pytest.mark.parametrize(
    ("kernel", "scalars"),
    [
        (TV_DATA_STEP_NONLINEAR, {"mu": 0.4, "radians": 11.0}),
        (TV_DATA_STEP_ABSOLUTE, {"mu": 3.0}),
        (TV_DATA_STEP_ABSOLUTE_PHASE, {"mu": 8.0, "radians": 16.0}),
    ],
)
def test_over_relaxed_data_steps_add_what_the_blend_lacks(kernel, scalars, device, rng):
    arrays, relax = data_arrays(rng, 0.05), 0.7
    expected = nonlinear_step(kernel, device, arrays, **scalars)
    arrays["ax"] += np.float32(relax) * arrays["u"]
    found = nonlinear_step(kernel, device, arrays, **scalars | {"relax": relax})
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-5


def nonlinear_step(kernel, device, arrays, **scalars):
    """u and A x after a data step, in double precision."""
    scalars = {"relax": 0.0} | scalars
    on_device = {n: device.asarray(arrays[n].copy()) for n in ("ax", "u")}
    launch(kernel, device, **on_device, **{n: device.asarray(arrays[n]) for n in ("f", "w2")}, **scalars)
    return (to_numpy(on_device[n]).astype(float) for n in ("u", "ax"))


def data_arrays(rng, scale):
    ax, u, f = scale * rng.standard_normal((3, 6, 7, 8)).astype(np.float32)
    w2 = rng.uniform(0, 2, ax.shape).astype(np.float32) * (rng.random(ax.shape) > 0.2)
    return {"ax": ax, "u": u, "f": f, "w2": w2}


@pytest.mark.parametrize("mu", [0.05, 0.4, 3.0])
def test_phase_error_step_finds_the_least_value_where_nothing_is_carried_over(mu, device, rng):
    radians, arrays = 11.0, data_arrays(rng, 0.5)
    arrays["u"] *= 0
    multiplier, ax = nonlinear_step(TV_DATA_STEP_NONLINEAR, device, arrays, mu=mu, radians=radians)
    s, f, w2 = (arrays[n].astype(float) for n in ("ax", "f", "w2"))
    z = s - multiplier
    assert np.allclose(ax, z - multiplier, atol=1e-6)

    def value(z):
        return w2 * (1 - np.cos(radians * (z - f))) / radians**2 + 0.5 * mu * (z - s) ** 2

    reach = np.linspace(-np.pi / radians, np.pi / radians, 4001)
    least = np.min([value(s + r) for r in reach], axis=0)
    assert (value(z) <= 1.001 * least + 1e-7).all()


@pytest.mark.parametrize("mu", [0.01, 0.1])
def test_phase_error_step_keeps_the_multiplier_that_belongs_to_an_error(mu, device, rng):
    radians, arrays = 16.0, data_arrays(rng, 0.5)
    error = rng.uniform(-0.06, 0.06, arrays["f"].shape)
    arrays["ax"] = (arrays["f"] + error).astype(np.float32)
    arrays["u"] = (arrays["w2"] * np.sin(radians * error) / radians / mu).astype(np.float32)
    assert np.abs(radians * arrays["u"]).max() > 2 * np.pi
    multiplier, ax = nonlinear_step(TV_DATA_STEP_NONLINEAR, device, arrays, mu=mu, radians=radians)
    assert np.abs(multiplier - arrays["u"]).max() <= 2e-3 * np.abs(arrays["u"]).max()
    assert np.abs(ax + multiplier - arrays["ax"]).max() <= 2e-3 * np.abs(arrays["u"]).max()


def test_absolute_error_step_equals_numpy(device, rng):
    arrays = data_arrays(rng, 0.5)
    multiplier, ax = nonlinear_step(TV_DATA_STEP_ABSOLUTE, device, arrays, mu=3.0)
    s, f, threshold = arrays["ax"] + arrays["u"], arrays["f"], np.sqrt(arrays["w2"]) / 3.0
    z = f + np.sign(s - f) * np.maximum(np.abs(s - f) - threshold, 0)
    assert (z == f).any()
    assert np.allclose(multiplier, s - z, atol=1e-6)
    assert np.allclose(ax, 2 * z - s, atol=2e-6)


@pytest.mark.parametrize("mu", [2.0, 8.0, 100.0])
def test_absolute_phase_error_step_finds_the_least_value(mu, device, rng):
    radians, arrays = 16.0, data_arrays(rng, 0.5)
    scalars = {"mu": mu, "radians": radians}
    multiplier, ax = nonlinear_step(TV_DATA_STEP_ABSOLUTE_PHASE, device, arrays, **scalars)
    s, f, w = (arrays["ax"] + arrays["u"]).astype(float), arrays["f"], np.sqrt(arrays["w2"].astype(float))
    z = s - multiplier
    assert np.allclose(ax, z - multiplier, atol=1e-6)

    def value(z):
        return (
            w * np.abs(np.exp(1j * radians * z) - np.exp(1j * radians * f)) / radians + 0.5 * mu * (z - s) ** 2
        )

    reach = np.linspace(-np.pi / radians, np.pi / radians, 4001)
    least = np.min([value(s + r) for r in reach], axis=0)
    at_data = np.abs(np.exp(1j * radians * (z - f)) - 1) < 1e-5
    assert at_data.any()
    assert mu < 8 or not at_data.all()
    assert (value(z) <= 1.001 * least + 1e-6).all()


def small_problem(device, rng, lam):
    shape = (16, 14, 18)
    response = dipole_response(shape, SPACING, (0.0, 0.6, 0.8), device)
    truth = np.zeros(shape)
    truth[4:10, 3:9, 5:12] = 0.1
    truth[7:12, 6:11, 8:15] -= 0.07
    truth -= truth.mean()
    field = np.fft.irfftn(np.fft.rfftn(truth) * to_numpy(response), s=shape, axes=(0, 1, 2))
    weight = (rng.random(shape) > 0.2) * rng.uniform(0.5, 1.5, shape)
    problem = TvProblem(response, device.asarray(field), device.asarray(weight), SPACING, lam)
    return problem, truth, weight, to_numpy(response).astype(float)


def objective(x, problem, weight, response):
    residual = np.fft.irfftn(np.fft.rfftn(x) * response, s=x.shape, axes=(0, 1, 2)) - to_numpy(problem.data)
    tv = np.abs(gradient(x)).sum()
    return 0.5 * ((weight * residual) ** 2).sum() + problem.lam * tv


def test_the_result_is_a_minimum(device, rng):
    problem, _, weight, response = small_problem(device, rng, lam=1e-3)
    x = to_numpy(solve_tv(problem, device, Stopping(1500, 0.0), mu_gradient=0.02, mu_data=0.1)).astype(float)
    best = objective(x, problem, weight, response)
    other = to_numpy(solve_tv(problem, device, Stopping(2500, 0.0), mu_gradient=0.1, mu_data=0.5))
    assert objective(other.astype(float), problem, weight, response) == pytest.approx(best, rel=1e-3)
    for scale in (1e-3, 1e-2):
        for _ in range(20):
            step = rng.standard_normal(x.shape) * scale
            assert objective(x + step, problem, weight, response) > best * (1 - 1e-5)
    assert objective(x * 0.98, problem, weight, response) > best * (1 - 1e-5)


def test_the_result_for_the_phase_error_is_a_minimum(device, rng):
    problem, _, weight, response = small_problem(device, rng, lam=1e-3)
    radians = 40.0
    problem = replace(problem, data_step=PhaseError(radians))
    stopping = Stopping(1500, 0.0)
    options: dict[str, Any] = {"mu_gradient": 0.02, "mu_data": 1.0}
    x = to_numpy(solve_tv(problem, device, stopping, **options)).astype(float)

    def value(x):
        residual = np.fft.irfftn(np.fft.rfftn(x) * response, s=x.shape, axes=(0, 1, 2)) - to_numpy(problem.data)
        loss = (1 - np.cos(radians * residual)) / radians**2
        return (weight**2 * loss).sum() + problem.lam * np.abs(gradient(x)).sum()

    best = value(x)
    for scale in (1e-3, 1e-2):
        for _ in range(20):
            assert value(x + rng.standard_normal(x.shape) * scale) > best * (1 - 1e-5)
    assert value(x * 0.98) > best * (1 - 1e-5)
    linear = to_numpy(solve_tv(replace(problem, data_step=squared_error), device, stopping, **options)).astype(
        float
    )
    assert best < value(linear)


def test_noise_free_truth_is_recovered(device, rng):
    problem, truth, _, _ = small_problem(device, rng, lam=1e-6)
    x = to_numpy(solve_tv(problem, device, Stopping(1500, 0.0), mu_gradient=1e-3, mu_data=0.1))
    assert np.linalg.norm(x - truth) <= 0.02 * np.linalg.norm(truth)


def test_it_tells_how_it_stopped_and_can_be_stopped(device, rng):
    problem, *_ = small_problem(device, rng, lam=1e-4)
    options: dict[str, Any] = {"mu_gradient": 0.02, "mu_data": 0.1}

    def run(iterations, tolerance, answer=None):
        seen = []
        stopping = Stopping(iterations, tolerance, callback=lambda s: seen.append(s) or answer)
        solve_tv(problem, device, stopping, **options)
        return seen

    loose = run(iterations=500, tolerance=0.005)
    assert loose[-1].reason == "converged"
    assert loose[-1].residual <= 0.005 < loose[-2].residual
    limited = run(iterations=25, tolerance=1e-9)
    assert [s.iteration for s in limited] == [10, 20, 25]
    assert limited[-1].reason == "iterations"
    stopped = run(iterations=500, tolerance=1e-9, answer=False)
    assert [(s.iteration, s.reason) for s in stopped] == [(10, None)]
