"""Total generalised variation: its steps against NumPy, optimality of the result, linear ramps."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tgv import TGV_ADJOINT, TGV_KSPACE_STEP, TGV_SPLIT_STEP
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.gradient import difference_spectra
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tgv_admm import TgvAdmm, solve_tgv
from qsmengine.solvers.tgv_split import TgvPenalties
from qsmengine.solvers.tv_admm import TvProblem, solve_tv

SPACING = (1.0, 0.8, 2.0)
INVERSE = {f"h{a}": 1 / h for a, h in zip("xyz", SPACING, strict=True)}
PAIRS = ((0, 1), (0, 2), (1, 2))


def difference(x, axis):
    return (np.roll(x, -1, axis) - x) / SPACING[axis]


def backward(x, axis):
    return (np.roll(x, 1, axis) - x) / SPACING[axis]


def slope_error(x, v):
    return np.stack([difference(x, a) - v[a] for a in range(3)])


def symmetric_gradient(v):
    mixed = [(difference(v[b], a) + difference(v[a], b)) / np.sqrt(2) for a, b in PAIRS]
    return np.stack([*(difference(v[a], a) for a in range(3)), *mixed])


def symmetric_adjoint(s):
    result = [backward(s[a], a) for a in range(3)]
    for component, (a, b) in zip(s[3:], PAIRS, strict=True):
        result[b] = result[b] + backward(component, a) / np.sqrt(2)
        result[a] = result[a] + backward(component, b) / np.sqrt(2)
    return np.stack(result)


@pytest.mark.parametrize("shape", [(4, 8, 40), (5, 9, 7), (3, 5, 33), (2, 1, 1), (6, 10, 17)])
def test_split_step_and_adjoint_equal_numpy(shape, device, rng):
    sizes = {"x": (), "v": (3,), "p": (3,), "q": (6,), "r": (3,), "s": (6,)}
    arrays = {n: rng.standard_normal((*c, *shape)).astype(np.float32) for n, c in sizes.items()}
    on_device = {n: device.asarray(a.copy()) for n, a in arrays.items()}
    t1, t0, mu1, mu0 = 0.9, 0.7, 0.3, 1.7
    launch(TGV_SPLIT_STEP, device, **on_device, t1=t1, t0=t0, **INVERSE)
    x, v, p, q = (arrays[n].astype(float) for n in "xvpq")
    first, second = slope_error(x, v) + p, symmetric_gradient(v) + q
    limits = t0 * np.array([1, 1, 1, *[np.sqrt(2)] * 3])[:, None, None, None]
    p, q = np.clip(first, -t1, t1), np.clip(second, -limits, limits)
    r, s = first - 2 * p, second - 2 * q
    for name, expected in zip("pqrs", (p, q, r, s), strict=True):
        assert np.abs(to_numpy(on_device[name]) - expected).max() <= 5e-6, name
    results = {n: on_device[n] for n in "rsxv"}
    launch(TGV_ADJOINT, device, **results, mu1=mu1, mu0=mu0, **INVERSE)
    assert np.abs(to_numpy(on_device["x"]) - sum(backward(r[a], a) for a in range(3))).max() <= 3e-5
    assert np.abs(to_numpy(on_device["v"]) - (mu0 * symmetric_adjoint(s) - mu1 * r)).max() <= 5e-5


@pytest.mark.parametrize("shape", [(6, 8, 10), (5, 6, 7)])
def test_kspace_step_solves_the_normal_equations(shape, device, rng):
    mu1, mu2, mu0 = 0.3, 0.7, 1.3
    response = dipole_response(shape, SPACING, (0.0, 0.6, 0.8), device)
    x, v, z = rng.standard_normal(shape), rng.standard_normal((3, *shape)), rng.standard_normal(shape)
    x -= x.mean()
    a = to_numpy(response).astype(float)

    def convolve(image):
        return np.fft.irfftn(np.fft.rfftn(image) * a, s=shape, axes=(0, 1, 2))

    error = slope_error(x, v)
    gradient = mu1 * sum(backward(error[i], i) for i in range(3)) + mu2 * convolve(convolve(x) - z)
    right = {
        "gradient": gradient / mu1,
        "v": mu0 * symmetric_adjoint(symmetric_gradient(v)) - mu1 * error,
        "data": z,
    }
    spectra = {
        n: device.asarray(np.fft.rfftn(value, axes=(-3, -2, -1)), np.complex64) for n, value in right.items()
    }
    launch(
        TGV_KSPACE_STEP, device, **spectra, response=response, mu1=mu1, mu2=mu2, mu0=mu0, scale=1.0,
        **dict(zip(("ex", "ey", "ez"), difference_spectra(shape, SPACING, device), strict=True)),
    )  # fmt: skip
    images = {n: np.fft.irfftn(to_numpy(value), s=shape, axes=(-3, -2, -1)) for n, value in spectra.items()}
    assert np.abs(images["gradient"] - x).max() <= 1e-4
    assert np.abs(images["v"] - v).max() <= 1e-4
    assert np.abs(images["data"] - convolve(x)).max() <= 1e-4


def ramp_problem(device, rng, lam):
    """The field of a block whose susceptibility rises linearly, seen with weights and holes."""
    shape = (16, 14, 18)
    response = dipole_response(shape, SPACING, (0.0, 0.6, 0.8), device)
    truth = np.zeros(shape)
    truth[3:13, 3:11, 4:14] = np.linspace(0.0, 0.2, 10)[:, None, None]
    truth -= truth.mean()
    field = np.fft.irfftn(np.fft.rfftn(truth) * to_numpy(response), s=shape, axes=(0, 1, 2))
    weight = (rng.random(shape) > 0.1) * rng.uniform(0.5, 1.5, shape)
    problem = TvProblem(response, device.asarray(field), device.asarray(weight), SPACING, lam)
    return problem, truth, weight


def test_the_result_is_a_minimum(device, rng):
    problem, _, weight = ramp_problem(device, rng, 1e-3)
    response, data = to_numpy(problem.response).astype(float), to_numpy(problem.data).astype(float)
    stiffness = 3e-4

    def run(*penalties):
        state = TgvAdmm(problem, stiffness, device, TgvPenalties(*penalties))
        for _ in range(1500):
            state.iterate()
        return to_numpy(state.split.x).astype(float), to_numpy(state.split.v).astype(float)

    def value(x, v):
        residual = np.fft.irfftn(np.fft.rfftn(x) * response, s=x.shape, axes=(0, 1, 2)) - data
        curvature = np.abs(symmetric_gradient(v))
        second = curvature[:3].sum() + np.sqrt(2) * curvature[3:].sum()
        first = problem.lam * np.abs(slope_error(x, v)).sum()
        return 0.5 * ((weight * residual) ** 2).sum() + first + stiffness * second

    x, v = run(0.02, 0.05, 0.1)
    best = value(x, v)
    assert np.abs(v).max() > 1e-3
    assert value(*run(0.1, 0.1, 0.3)) == pytest.approx(best, rel=2e-3)
    for scale in (1e-3, 1e-2):
        for _ in range(20):
            dx, dv = rng.standard_normal(x.shape), rng.standard_normal(v.shape)
            assert value(x + scale * dx, v + scale * dv) > best
    assert value(0.98 * x, 0.98 * v) > best * (1 - 1e-4)
    assert value(1.02 * x, 1.02 * v) > best * (1 - 1e-4)


def test_linear_ramps_stay_linear_where_total_variation_makes_steps(device, rng):
    problem, truth, _ = ramp_problem(device, rng, 6e-4)
    noisy = to_numpy(problem.data) + 2e-3 * rng.standard_normal(truth.shape)
    problem = TvProblem(problem.response, device.asarray(noisy), problem.weight, SPACING, problem.lam)
    stopping = Stopping(600, 0.0)
    flat = to_numpy(solve_tv(problem, device, stopping, mu_gradient=0.02, mu_data=0.1))
    penalties = TgvPenalties(0.02, 0.02, 0.1)
    smooth = to_numpy(solve_tgv(problem, 1.8e-4, device, stopping, penalties=penalties))

    def along(x):
        return x[5:11, 4:10, 6:12]

    def roughness(x):
        """Second differences along the ramp, of which a straight line has none."""
        return np.abs(np.diff(along(x), 2, axis=0)).mean()

    assert roughness(smooth) < 0.1 * roughness(flat)
    assert np.linalg.norm(along(smooth - truth)) < 0.5 * np.linalg.norm(along(flat - truth))
