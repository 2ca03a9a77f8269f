"""Diffusion kurtosis: exactness, means over directions, limits, parity with DIPY, tables it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.kurtosis import (
    ConstrainedKurtosisParams,
    KurtosisParams,
    dki,
    dki_constrained,
    limits,
    quartic_terms,
)
from qsmengine.stages.diffusion.orders import KURTOSIS_ORDER
from tests.stages.diffusion.tensors import PLACES, gradient_table, six

CPU = cpu(2)
TABLE = {"directions": 30, "b_values": (1000.0, 2000.0), "b0": 5}


def two_compartments(rng, count) -> tuple[Any, Any, Any]:
    """Mean tensors and 3 w (1 - w) (A - B) (x) (A - B), V of two Gaussian compartments A, B."""
    share = rng.uniform(0.2, 0.8, count)
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    values = rng.uniform(0.4e-3, 2e-3, (count, 3))
    other = values * rng.uniform(0.4, 0.9, (count, 1))
    a, b = (np.einsum("nik,nk,njk->nij", axes, v, axes) for v in (values, other))
    return share[:, None, None] * a + (1 - share)[:, None, None] * b, 3 * share * (1 - share), a - b


def quartic(factor, difference, n):
    """V along directions (v, 3)."""
    return factor[:, None] * np.einsum("vi,nij,vj->nv", n, difference, n) ** 2


def signals(tensors, factor, difference, s0, b, g):
    diffusion = np.einsum("vi,nij,vj->nv", g, tensors, g)
    return s0[:, None] * np.exp(-b * diffusion + b**2 / 6 * quartic(factor, difference, g))


def fit(method, signal, b, g, params, *, device=CPU):
    count = len(signal)
    grid = Grid.from_voxel_size((count, 1, 1), (2.0, 2.0, 2.0))
    image = np.asarray(signal, np.float32).reshape(count, 1, 1, -1)
    result = method(image, np.ones(grid.shape, bool), b, g, grid, params, device=device)
    maps = {name: to_numpy(m).reshape(count, *m.shape[3:]) for name, m in vars(result).items()}
    return type(result)(**maps)


def noisy(rng, count, level):
    b, g = gradient_table(rng, **TABLE)
    s0 = rng.uniform(300, 1500, count)
    clean = signals(*two_compartments(rng, count), s0, b, g)
    noise = level * s0[:, None] * rng.normal(size=(2, *clean.shape))
    return np.hypot(clean + noise[0], noise[1]).astype(np.float32), b, g


def matrix(b, g):
    """Design matrix with b in units of its largest: log S0, D, V."""
    scaled = b / b.max()
    tensor = [-scaled * (1 + (i != j)) * g[:, i] * g[:, j] for i, j in PLACES]
    return np.column_stack([np.ones_like(b), *tensor, scaled[:, None] ** 2 / 6 * quartic_terms(g)])


def circle(axes, count=720):
    """Directions (n, count, 3) across the first of the axes (n, 3, 3)."""
    angle = 2 * np.pi * np.arange(count) / count
    return np.cos(angle)[:, None] * axes[:, None, 1] + np.sin(angle)[:, None] * axes[:, None, 2]


@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
@pytest.mark.parametrize("reweightings", [0, 1, 3])
def test_noise_free_signals_give_tensor_and_kurtosis_back(device, rng, constrained, reweightings):
    b, g = gradient_table(rng, **TABLE)
    tensors, factor, difference = two_compartments(rng, 600)
    s0 = rng.uniform(50, 5000, 600)
    signal = signals(tensors, factor, difference, s0, b, g)
    method, kind = (dki_constrained, ConstrainedKurtosisParams) if constrained else (dki, KurtosisParams)
    r = fit(method, signal, b, g, kind(reweightings=reweightings, min_signal=1e-6), device=device)
    assert (np.abs(r.tensor - six(tensors)).max(axis=1) / np.linalg.norm(tensors, axis=(1, 2))).max() <= 2e-6
    np.testing.assert_allclose(r.s0, s0, rtol=2e-6)
    directions = gradient_table(rng, 200, b0=0)[1]
    md = np.trace(tensors, axis1=1, axis2=2) / 3
    expected = quartic(factor, difference, directions) / md[:, None] ** 2
    np.testing.assert_allclose(r.kurtosis_tensor @ quartic_terms(directions).T, expected, atol=5e-5)
    assert (r.status == 1).all()


def test_float64_solution_of_the_same_signals_is_met(rng):
    signal, b, g = noisy(rng, 300, 0.02)
    r = fit(dki, signal, b, g, KurtosisParams())
    a, y = matrix(b, g), np.log(signal.astype(np.float64))
    for i in range(300):
        beta = np.linalg.lstsq(a, y[i], rcond=None)[0]
        w = np.exp(a @ beta)
        beta = np.linalg.lstsq(w[:, None] * a, w * y[i], rcond=None)[0]
        md = (beta[1] + beta[4] + beta[6]) / 3
        np.testing.assert_allclose(r.tensor[i] * b.max(), beta[1:7], atol=5e-6)
        np.testing.assert_allclose(r.kurtosis_tensor[i] * md**2, beta[7:], atol=2e-5)


def test_means_over_directions_are_those_of_dense_sampling(device, rng):
    b, g = gradient_table(rng, **TABLE)
    tensors, factor, difference = two_compartments(rng, 60)
    tensors[:20] = 1e-3 * np.eye(3)  # equal eigenvalues
    signal = signals(tensors, factor, difference, np.full(60, 900.0), b, g)
    r = fit(dki, signal, b, g, KurtosisParams(min_signal=1e-6), device=device)
    z, weight = np.polynomial.legendre.leggauss(120)
    ring = circle(np.eye(3)[None, [2, 0, 1]], 240)[0]
    n = np.sqrt(1 - z**2)[:, None, None] * ring + z[:, None, None] * np.eye(3)[2]
    n, weight = n.reshape(-1, 3), np.repeat(weight, 240) / 480
    apparent = quartic(factor, difference, n) / np.einsum("vi,nij,vj->nv", n, tensors, n) ** 2
    np.testing.assert_allclose(r.mk, apparent @ weight, atol=1e-4)
    md = np.trace(tensors, axis1=1, axis2=2) / 3
    np.testing.assert_allclose(r.mkt, quartic(factor, difference, n) @ weight / md**2, atol=1e-4)
    axes = np.stack([r.v1, r.v2, r.v3], axis=1).astype(np.float64)[20:]
    around, rest = circle(axes), (tensors[20:], factor[20:], difference[20:])
    for name, directions in (("rk", around), ("ak", axes[:, :1])):
        d = np.einsum("nvi,nij,nvj->nv", directions, rest[0], directions)
        v = rest[1][:, None] * np.einsum("nvi,nij,nvj->nv", directions, rest[2], directions) ** 2
        np.testing.assert_allclose(getattr(r, name)[20:], (v / d**2).mean(axis=1), atol=1e-4)


def test_strong_anisotropy_keeps_the_mean_exact(rng):
    b, g = gradient_table(rng, 40, (500.0, 1200.0))
    axes = np.linalg.qr(rng.normal(size=(40, 3, 3)))[0]
    tensors = np.einsum("nik,k,njk->nij", axes, [2.4e-3, 6e-5, 1e-5], axes)
    factor, difference = np.full(40, 0.3), np.broadcast_to(5e-4 * np.eye(3), (40, 3, 3))
    signal = signals(tensors, factor, difference, np.full(40, 900.0), b, g)
    r = fit(dki, signal, b, g, KurtosisParams(min_signal=1e-6, max_kurtosis=1e4))
    # V is constant here, so MK is V < 1 / D^2 >, taken in the eigenframe along cos(polar angle)
    z, weight = np.polynomial.legendre.leggauss(4000)
    angle = 2 * np.pi * (np.arange(400) + 0.5) / 400
    across = (1 - z**2)[:, None] * (6e-5 * np.cos(angle) ** 2 + 1e-5 * np.sin(angle) ** 2)
    mean = (((2.4e-3 * z[:, None] ** 2 + across) ** -2).mean(axis=1) * weight).sum() / 2
    assert abs(np.median(r.mk) / (0.3 * 25e-8 * mean) - 1) < 0.02


def test_agrees_with_dipy(rng):
    gradients = pytest.importorskip("dipy.core.gradients")
    from dipy.reconst.dki import DiffusionKurtosisModel

    signal, b, g = noisy(rng, 80, 0.03)
    r = fit(dki, signal, b, g, KurtosisParams())
    peer = DiffusionKurtosisModel(gradients.gradient_table(b, bvecs=g), fit_method="WLS").fit(signal)
    np.testing.assert_allclose(r.fa, peer.fa, atol=1e-5)
    np.testing.assert_allclose(r.md, peer.md, atol=1e-8)
    sound = (r.l3 > 1e-4) & (np.abs(r.mkt) > 0.05)
    sound &= peer.kfa > 0  # DIPY gives 0 for small kurtosis
    assert sound.sum() > 50
    for name, map_ in (("ak", peer.ak()), ("rk", peer.rk()), ("mkt", peer.mkt()), ("kfa", peer.kfa)):
        np.testing.assert_allclose(getattr(r, name)[sound], map_[sound], atol=2e-4, err_msg=name)
    # DIPY's series for nearly equal eigenvalues are worth about 1e-2
    assert np.quantile(np.abs(r.mk - peer.mk())[sound], 0.9) < 1e-3


def test_constrained_fit_is_the_minimum_within_the_limits(device, rng):
    signal, b, g = noisy(rng, 150, 0.06)
    r = fit(dki_constrained, signal, b, g, ConstrainedKurtosisParams(), device=device)
    a, walls = matrix(b, g), limits(60)
    touched = 0
    for i in range(150):
        y = np.log(signal[i].astype(np.float64))
        w = np.exp(2 * a @ np.linalg.lstsq(a, y, rcond=None)[0])
        m = a.T @ (w[:, None] * a)
        factor = np.linalg.cholesky(m)
        free = np.linalg.solve(m, a.T @ (w * y))
        normals = np.linalg.solve(factor, walls.T)
        multipliers, _ = nnls(normals, -factor.T @ free)
        beta = np.linalg.solve(factor.T, factor.T @ free + normals @ multipliers)
        touched += (multipliers > 0).sum() > 1
        np.testing.assert_allclose(r.tensor[i] * b.max(), beta[1:7], atol=2e-4)
        np.testing.assert_allclose(r.kurtosis_tensor[i] * (r.md[i] * b.max()) ** 2, beta[7:], atol=5e-4)
    assert touched > 100
    assert (r.status == 1).all()


def test_kurtosis_is_kept_between_the_bounds(rng):
    signal, b, g = noisy(rng, 300, 0.2)
    r = fit(dki, signal, b, g, KurtosisParams(min_kurtosis=-0.1, max_kurtosis=1.5))
    for name in ("mk", "ak", "rk", "mkt"):
        found = getattr(r, name)
        assert found.min() == np.float32(-0.1), name
        assert found.max() == 1.5, name


def test_components_are_those_of_a_symmetric_tensor(rng):
    n = gradient_table(rng, 20, b0=0)[1]
    full = np.zeros((20, 3, 3, 3, 3, 15))
    for place in np.ndindex(3, 3, 3, 3):
        name = "".join(sorted("xyz"[i] for i in place))
        full[(slice(None), *place, KURTOSIS_ORDER.index(name))] = np.prod(n[:, place], axis=1)
    np.testing.assert_allclose(quartic_terms(n), full.sum(axis=(1, 2, 3, 4)), atol=1e-12)


def test_tables_without_kurtosis_are_refused(rng):
    one_shell = gradient_table(rng, 60)
    with pytest.raises(InputError, match=r"rank .*kurtosis needs 22: 64 volumes, 1 shells"):
        fit(dki, np.ones((1, 64)), *one_shell, KurtosisParams())
    few = gradient_table(rng, 14, (1000.0, 2000.0), b0=1)
    few[1][15:] = few[1][1:15]
    with pytest.raises(InputError, match="14 different directions"):
        fit(dki, np.ones((1, 29)), *few, KurtosisParams())


def test_lost_rank_and_absent_signal_have_their_status(rng):
    signal, b, g = noisy(rng, 4, 0.02)
    signal[0], signal[1], signal[2, 3] = 0.0, np.nan, np.inf
    r = fit(dki_constrained, signal, b, g, ConstrainedKurtosisParams())
    np.testing.assert_array_equal(r.status, [3, 3, 3, 1])
    assert (r.mk[:3] == 0).all()
    assert r.mk[3] != 0
