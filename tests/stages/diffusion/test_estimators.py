"""Every estimator: exactness, parity with peers, noise, outliers, positivity, status."""

from __future__ import annotations

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.search import RestoreParams, SearchParams, constrained, nlls, restore
from qsmengine.stages.diffusion.tensor import IwlsParams, TensorParams, iwls, ols, wls, wls_fsl
from qsmengine.stages.registry import methods_of
from tests.stages.diffusion.peers import dtifit, matrix, nonlinear
from tests.stages.diffusion.tensors import (
    fractional_anisotropy,
    full,
    gradient_table,
    random_tensors,
    reference_fit,
    signals,
    six,
)

CPU = cpu(2)
ESTIMATORS = sorted(n for n, m in methods_of("diffusion").items() if not {"mk", "free_water"} & set(m.outputs))
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def fit(method, signal, b, g, params, *, device=CPU, mask=None, **inputs):
    """Fit (count, volume) signals; maps in host memory, (count[, component])."""
    count = len(signal)
    grid = Grid.from_voxel_size((count, 1, 1), (2.0, 2.0, 2.0))
    mask = np.ones(grid.shape, bool) if mask is None else mask
    image = np.asarray(signal, np.float32).reshape(count, 1, 1, -1)
    result = method(image, mask, b, g, grid, params, device=device, **inputs)
    maps = {name: to_numpy(m).reshape(count, *m.shape[3:]) for name, m in vars(result).items()}
    return type(result)(**maps)


def by_name(name, **params):
    method = methods_of("diffusion")[name]
    return method.run, method.params(**params)


def relative_error(found, tensors):
    """Largest difference of a component over the tensor's norm, for each voxel."""
    return np.abs(found - six(tensors)).max(axis=1) / np.linalg.norm(tensors, axis=(1, 2))


def noisy_signals(rng, count, level, **table):
    b, g = gradient_table(rng, **table)
    tensors, s0 = random_tensors(rng, count, 0.3e-3, 2e-3), rng.uniform(400, 1500, count)
    clean = signals(tensors, s0, b, g)
    noise = rng.normal(size=(2, *clean.shape)) * (level * s0[:, None])
    return np.float32(np.hypot(clean + noise[0], noise[1])), tensors, s0, b, g


@every_estimator
@pytest.mark.parametrize("b_values", [(1000.0,), (700.0, 2000.0)])
def test_noise_free_signals_give_the_tensor_back(device, rng, name, b_values):
    b, g = gradient_table(rng, 32, b_values)
    tensors, s0 = random_tensors(rng, 1500, 0.1e-3, 2.0e-3), rng.uniform(50, 5000, 1500)
    floor = (
        {} if "min_signal" not in methods_of("diffusion")[name].params.model_fields else {"min_signal": 1e-6}
    )
    run, params = by_name(name, **floor)
    r = fit(run, signals(tensors, s0, b, g), b, g, params, device=device)
    assert relative_error(r.tensor, tensors).max() <= 1e-6
    np.testing.assert_allclose(r.s0, s0, rtol=2e-6)
    assert (r.sigma <= 2e-6 * s0).all()
    assert (r.status == 1).all()


@pytest.mark.parametrize("weighted", [False, True], ids=["ols", "wls"])
def test_fsl_floor_is_that_of_dtifit(rng, weighted):
    signal, _, _, b, g = noisy_signals(rng, 400, 0.05, directions=30, b_values=(1000.0, 4000.0))
    broken = rng.random(signal.shape) < 0.03
    signal[broken] = rng.choice([0.0, -3.0, 0.2], broken.sum())
    method = wls_fsl if weighted else ols
    r = fit(method, signal, b, g, TensorParams(floor="fsl"))
    tensors, s0, sse = dtifit(signal, b, g, weighted=weighted)
    size = np.linalg.norm(tensors, axis=(1, 2))
    assert (np.abs(r.tensor - six(tensors)).max(axis=1) / size).max() < 2e-5
    np.testing.assert_allclose(r.s0, s0, rtol=2e-5)
    np.testing.assert_allclose(r.sse, sse, rtol=1e-4)
    plain = fit(method, signal, b, g, TensorParams())
    assert np.median(np.abs(plain.fa - r.fa)) > (1e-6 if weighted else 1e-3)


def test_absolute_floor_raises_what_is_below(rng):
    signal, _, _, b, g = noisy_signals(rng, 60, 0.05, b_values=(3000.0,))
    raised = np.maximum(signal, 80.0)
    assert (signal < 80).mean() > 0.1
    r = fit(wls, signal, b, g, TensorParams(floor="absolute", lowest_signal=80.0))
    tensors, s0 = reference_fit(raised, b, g, weighted=True)
    assert relative_error(r.tensor, tensors).max() < 2e-5
    np.testing.assert_allclose(r.s0, s0, rtol=1e-5)
    with pytest.raises(ValueError, match="lowest_signal"):
        TensorParams(floor="absolute")


@pytest.mark.skipif(shutil.which("dwi2tensor") is None, reason="MRtrix3 is not installed")
@pytest.mark.parametrize(
    ("options", "method", "params"),
    [
        (["-ols", "-iter", "0"], ols, TensorParams(min_signal=1e-6)),
        (["-iter", "0"], wls_fsl, TensorParams(min_signal=1e-6)),
        (["-iter", "1"], wls_fsl, TensorParams(min_signal=1e-6)),  # -iter 1 repeats the measured weights
        (["-iter", "2"], iwls, IwlsParams(min_signal=1e-6)),
        (["-ols", "-iter", "2"], iwls, IwlsParams(min_signal=1e-6, start="ols")),
    ],
    ids=["ols", "iter 0", "iter 1", "iter 2", "ols iter 2"],
)
def test_agrees_with_mrtrix(tmp_path, options, method, params):
    folder = demo_path("siemens-dwi-brain-with-vendor-maps")
    image = nib.load(folder / "dwi.nii.gz")
    stored = np.asarray(image.dataobj)
    table = [str(folder / "dwi.bvec"), str(folder / "dwi.bval")]
    quiet = ["-quiet", "-nthreads", "1"]
    tensor, fa, md = (str(tmp_path / f"{name}.nii") for name in ("tensor", "fa", "md"))
    fitting = ["dwi2tensor", *quiet, *options, "-fslgrad", *table, str(folder / "dwi.nii.gz"), tensor]
    subprocess.run(fitting, check=True)
    subprocess.run(["tensor2metric", *quiet, tensor, "-fa", fa, "-adc", md], check=True)
    mask = stored[..., 0] > 300
    b, g = np.loadtxt(table[1]), np.loadtxt(table[0]).T
    r = method(stored, mask, b, g, Grid(stored.shape[:3], image.affine), params, device=CPU)
    np.testing.assert_allclose(r.fa[mask], nib.load(fa).get_fdata()[mask], atol=2e-5)
    np.testing.assert_allclose(r.md[mask], nib.load(md).get_fdata()[mask], atol=2e-7)


def test_iterated_weights_settle(rng):
    signal, _, _, b, g = noisy_signals(rng, 200, 0.03)
    many = [fit(iwls, signal, b, g, IwlsParams(iterations=30, start=start)) for start in ("measured", "ols")]
    np.testing.assert_allclose(many[0].tensor, many[1].tensor, atol=1e-8)
    beta = np.column_stack([np.log(many[0].s0), many[0].tensor * 1e3])
    a, y = matrix(b, g), np.log(signal.astype(np.float64))
    w = np.exp(2 * beta @ a.T)
    gradient = np.einsum("nv,vk->nk", w * (y - beta @ a.T), a)
    scale = np.einsum("nv,vk->nk", w * np.abs(y - beta @ a.T), np.abs(a))
    assert (np.abs(gradient) / scale).max() < 1e-4


def test_nonlinear_fit_is_the_minimum_that_scipy_finds(device, rng):
    signal, tensors, s0, b, g = noisy_signals(rng, 60, 0.05)
    r = fit(nlls, signal, b, g, SearchParams(), device=device)
    expected, cost = nonlinear(signal, b, g, tensors, s0)
    assert relative_error(r.tensor, expected).max() < 1e-4
    np.testing.assert_allclose(r.sigma**2 * (len(b) - 7), cost, rtol=1e-4)
    assert np.isin(r.status, [1, 2]).all()


def test_constrained_fit_is_the_minimum_among_positive_tensors(device, rng):
    b, g = gradient_table(rng, 24)
    axes = np.linalg.qr(rng.normal(size=(80, 3, 3)))[0]
    tensors = np.einsum("nik,k,njk->nij", axes, [1.8e-3, 3e-4, 2e-5], axes)
    s0 = rng.uniform(500, 900, 80)
    signal = np.float32(signals(tensors, s0, b, g) + 40.0 * rng.normal(size=(80, len(b))))
    free = fit(nlls, signal, b, g, SearchParams(), device=device)
    r = fit(constrained, signal, b, g, SearchParams(), device=device)
    assert (free.status == 2).sum() > 20
    assert (r.status == 1).all()
    assert (r.l3 >= 0).all()
    assert np.linalg.eigvalsh(full(r.tensor)).min() > -1e-9
    inside = free.l3 > 1e-6
    np.testing.assert_allclose(r.tensor[inside], free.tensor[inside], atol=1e-7)
    _, cost = nonlinear(signal, b, g, tensors, s0, positive=True)
    assert (r.sigma**2 * (len(b) - 7) <= cost * (1 + 1e-5)).all()
    assert (r.fa <= 1 + 1e-6).all()


def test_nonlinear_fit_reaches_the_variance_bound_and_has_no_bias(rng):
    """Monte Carlo with Gaussian noise: variance of MD against Cramer and Rao's bound."""
    b, g = gradient_table(rng, 30)
    tensor, count, sigma = np.diag([1.7e-3, 4e-4, 2e-4]), 20_000, 15.0
    clean = signals(tensor[None], np.array([600.0]), b, g)
    signal = clean + sigma * rng.normal(size=(count, len(b)))
    slopes = clean.T * matrix(b, g)
    bound = np.linalg.inv(slopes.T @ slopes / sigma**2)
    along = np.array([0, 1, 0, 0, 1, 0, 1]) / 3e3
    variance = along @ bound @ along
    r = fit(nlls, signal, b, g, SearchParams())
    assert np.var(r.md) == pytest.approx(variance, rel=0.04)
    assert abs(r.md.mean() - np.trace(tensor) / 3) < 5 * np.sqrt(variance / count) + 2e-6
    assert np.mean(r.sigma**2) == pytest.approx(sigma**2, rel=0.01)
    weighted = fit(iwls, signal, b, g, IwlsParams())
    assert np.var(weighted.md) < np.var(fit(ols, signal, b, g, TensorParams()).md)
    assert np.var(weighted.md) < 1.15 * variance


def test_noise_floor_takes_the_bias_of_rician_magnitudes_away(device, rng):
    """b D of the fast axis is 5: the signal there is below the noise."""
    b, g = gradient_table(rng, 45, (1000.0, 2500.0))
    tensor, sigma = np.diag([2e-3, 5e-4, 4e-4]), 40.0
    clean = signals(tensor[None], np.array([800.0]), b, g)
    noise = sigma * rng.normal(size=(2, 6000, len(b)))
    signal = np.hypot(clean + noise[0], noise[1])
    bias = {}
    for name, params, inputs in (
        ("plain", SearchParams(), {}),
        ("floor", SearchParams(noise_floor=True, sigma=sigma), {}),
        ("map", SearchParams(noise_floor=True), {"sigma": np.full((6000, 1, 1), sigma, np.float32)}),
    ):
        r = fit(nlls, signal, b, g, params, device=device, **inputs)
        bias[name] = r.l1.mean() - 2e-3
    assert bias["plain"] < -8e-5
    assert abs(bias["floor"]) < 2e-5
    assert bias["map"] == bias["floor"]
    with pytest.raises(InputError, match="sigma"):
        fit(nlls, signal[:2], b, g, SearchParams(noise_floor=True))
    series = np.ones((2, 1, 1, 3), np.float32)
    with pytest.raises(InputError, match="sigma: has 4 dimensions"):
        fit(nlls, signal[:2], b, g, SearchParams(), sigma=series)


def test_robust_fit_leaves_outliers_out(device, rng):
    signal, tensors, _, b, g = noisy_signals(rng, 800, 0.02, directions=45)
    dropped = (rng.random(signal.shape) < 0.08) & (b > 0)
    spoiled = np.where(dropped, signal * rng.uniform(0.05, 0.4, signal.shape), signal)
    r = fit(restore, spoiled, b, g, RestoreParams(), device=device)
    plain = fit(nlls, spoiled, b, g, SearchParams(), device=device)
    clean = fit(nlls, signal, b, g, SearchParams(), device=device)
    error = [np.median(relative_error(m.tensor, tensors)) for m in (clean, r, plain)]
    assert error[1] < 1.25 * error[0]
    assert error[2] > 2.5 * error[0]
    far = dropped & (np.abs(spoiled - signal) > 6 * clean.sigma[:, None])
    assert r.outliers[far].mean() > 0.97
    assert r.outliers[~dropped].mean() < 0.05


def test_robust_fit_takes_the_noise_it_is_told(rng):
    signal, _, s0, b, g = noisy_signals(rng, 300, 0.03)
    told = RestoreParams(threshold=1e3)
    sigma = np.float32(0.03 * s0).reshape(-1, 1, 1)
    r = fit(restore, signal, b, g, told, sigma=sigma)
    assert not r.outliers.any()
    np.testing.assert_allclose(r.tensor, fit(nlls, signal, b, g, SearchParams()).tensor, atol=2e-8)
    strict = fit(restore, signal, b, g, RestoreParams(threshold=2.0), sigma=sigma)
    assert 0.02 < strict.outliers.mean() < 0.08


@every_estimator
def test_voxels_without_a_tensor_have_a_code_and_no_numbers(device, rng, name):
    signal, _, _, b, g = noisy_signals(rng, 5, 0.01)
    signal[0], signal[1], signal[2] = 0.0, -4.0, np.nan
    signal[3, 4] = np.inf
    mask = np.array([1, 1, 1, 1, 1], bool).reshape(5, 1, 1)
    run, params = by_name(name)
    r = fit(run, signal, b, g, params, device=device, mask=mask)
    np.testing.assert_array_equal(r.status, [3, 3, 3, 3, 1])
    for field, values in vars(r).items():
        if field != "status":
            assert (values[:4] == 0).all(), field
            assert np.isfinite(values).all(), field


@pytest.mark.parametrize("name", ["wls_fsl", "iwls", "nlls", "restore"])
def test_lost_rank_is_a_code(rng, name):
    """Signal in five volumes only: the weights of the others vanish."""
    b, g = gradient_table(rng, 20, b0=2)
    signal = np.full((1, len(b)), 1e-9)
    signal[0, :5] = [1000.0, 1010.0, 500.0, 300.0, 400.0]
    floor = {"min_signal": 1e-8} if name in {"wls_fsl", "iwls"} else {}
    run, params = by_name(name, **floor)
    r = fit(run, signal, b, g, params)
    assert r.status[0] in {4, 5}
    if r.status[0] == 4:
        assert r.fa[0] == r.md[0] == r.s0[0] == 0


@every_estimator
def test_gradient_deviation_is_a_table_for_each_voxel(device, rng, name):
    b, g = gradient_table(rng, 40)
    tensors, s0 = random_tensors(rng, 50, 0.3e-3, 1.8e-3), rng.uniform(500, 900, 50)
    deviation = 0.08 * rng.normal(size=(50, 3, 3))
    signal = np.empty((50, len(b)))
    for v in range(50):
        turned = g @ (np.eye(3) + deviation[v]).T
        length = np.linalg.norm(turned, axis=1)
        unit = turned / np.where(length > 0, length, 1)[:, None]
        signal[v] = signals(tensors[v : v + 1], s0[v : v + 1], b * length**2, unit)[0]
    columns = np.float32(deviation.transpose(0, 2, 1).reshape(50, 1, 1, 9))
    run, params = by_name(name)
    r = fit(run, signal, b, g, params, device=device, gradient_deviation=columns)
    assert relative_error(r.tensor, tensors).max() < 5e-6
    np.testing.assert_allclose(r.fa, fractional_anisotropy(tensors), atol=5e-6)
    uncorrected = fit(run, signal, b, g, params, device=device)
    assert np.median(relative_error(uncorrected.tensor, tensors)) > 0.05
    none = fit(run, signal, b, g, params, device=device, gradient_deviation=np.zeros_like(columns))
    np.testing.assert_allclose(none.tensor, uncorrected.tensor, atol=1e-9)
    np.testing.assert_allclose(none.l1, uncorrected.l1, atol=1e-9)
