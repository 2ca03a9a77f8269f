"""tensor_fit and the kernels of series.cu against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.series import SERIES_MEDIAN, SERIES_TO_PLANES
from qsmengine.backend.signatures.tensor import TENSOR_FIT, VOXEL_TILE
from qsmengine.stages.diffusion.design import tensor_design
from tests.stages.diffusion.tensors import (
    fractional_anisotropy,
    full,
    gradient_table,
    random_tensors,
    reference_fit,
    signals,
    six,
)


def fit(device, signal, b, g, *, reweightings=0, voxels=None, min_signal=1e-6, measured=0):
    """(26, n) maps of (n, volume) signals."""
    design = tensor_design(b, g, 0.0)
    n = len(signal)
    voxels = np.arange(n) if voxels is None else voxels
    padded = np.concatenate([voxels, np.full(-len(voxels) % VOXEL_TILE, voxels[-1])])
    maps = device.asarray(np.full((26, n), -7.0))
    launch(
        TENSOR_FIT,
        device,
        signal=device.asarray(np.ascontiguousarray(signal.T)),
        voxel_index=device.asarray(padded, np.int32),
        basis=device.asarray(design.basis),
        products=device.asarray(design.products),
        up=device.asarray(design.up),
        maps=maps,
        min_signal=min_signal,
        lowest=0.0,
        fsl=0,
        b_max=design.b_max,
        reweightings=reweightings,
        measured=measured,
    )
    return to_numpy(maps)


def noisy(rng, count, directions, level=0.02, **table):
    b, g = gradient_table(rng, directions, **table)
    tensors = random_tensors(rng, count)
    clean = signals(tensors, rng.uniform(200, 2000, count), b, g)
    return np.float32(clean * np.exp(level * rng.normal(size=clean.shape))), b, g


@pytest.mark.parametrize("weighted", [False, True], ids=["ols", "wls"])
@pytest.mark.parametrize("directions", [6, 31, 300])
def test_equals_least_squares_in_float64(device, rng, directions, weighted):
    signal, b, g = noisy(rng, 150, directions)
    maps = fit(device, signal, b, g, reweightings=int(weighted))
    tensors, s0 = reference_fit(signal, b, g, weighted=weighted)
    size = np.linalg.norm(tensors, axis=(1, 2))
    error = np.abs(maps[:6].T - six(tensors)).max(axis=1) / size
    assert error.max() < 2e-5
    np.testing.assert_allclose(maps[22], s0, rtol=1e-5)
    np.testing.assert_allclose(maps[18], fractional_anisotropy(tensors), atol=2e-5)


def test_weighting_survives_signals_over_six_orders_of_magnitude(device, rng):
    signal, b, g = noisy(rng, 150, 30, level=0.01, b_values=(1000.0, 5000.0))
    assert (signal.max(axis=1) / signal.min(axis=1)).max() > 1e6
    maps = fit(device, signal, b, g, reweightings=1, min_signal=1e-9)
    tensors, _ = reference_fit(signal, b, g, weighted=True)
    error = np.abs(maps[:6].T - six(tensors)).max(axis=1) / np.linalg.norm(tensors, axis=(1, 2))
    assert error.max() < 1e-3


@pytest.mark.parametrize("anisotropy", [0.0, 1e-5, 1e-3, 0.01, 0.5, 1.0])
def test_eigenpairs_hold_for_the_fitted_tensor(device, rng, anisotropy):
    b, g = gradient_table(rng)
    count = 400
    tensors = 1e-3 * ((1 - anisotropy) * np.eye(3) + anisotropy * random_tensors(rng, count, 0.01, 2.0))
    maps = fit(device, signals(tensors, np.full(count, 500.0), b, g).astype(np.float32), b, g)
    check_eigenpairs(maps)


def test_eigenpairs_hold_for_double_eigenvalues(device, rng):
    b, g = gradient_table(rng)
    axes = np.linalg.qr(rng.normal(size=(300, 3, 3)))[0]
    axes[:3] = np.eye(3)
    for values in ([2e-3, 5e-4, 5e-4], [2e-3, 2e-3, 5e-4], [2e-3, 0.0, 0.0]):
        tensors = np.einsum("nik,k,njk->nij", axes, values, axes)
        check_eigenpairs(fit(device, signals(tensors, np.full(300, 500.0), b, g).astype(np.float32), b, g))


def check_eigenpairs(maps):
    """Against float64 for the float32 tensor in `maps`, relative to its deviator."""
    tensors = full(maps[:6].T.astype(np.float64))
    values, vectors = maps[6:9].T, maps[9:18].T.reshape(-1, 3, 3)
    mean = np.trace(tensors, axis1=1, axis2=2) / 3
    deviators = tensors - mean[:, None, None] * np.eye(3)
    size = np.linalg.norm(tensors, axis=(1, 2))
    deviation = np.linalg.norm(deviators, axis=(1, 2))
    assert (np.diff(values, axis=1) <= 0).all()
    assert (np.abs(values - np.linalg.eigvalsh(tensors)[:, ::-1]).max(axis=1) <= 5e-7 * size).all()
    identity = np.broadcast_to(np.eye(3), vectors.shape)
    np.testing.assert_allclose(vectors @ vectors.transpose(0, 2, 1), identity, atol=2e-6)
    offset = np.linalg.eigvalsh(deviators)[:, ::-1]
    residual = np.einsum("nij,nkj->nki", deviators, vectors) - offset[:, :, None] * vectors
    assert (np.abs(residual).max(axis=(1, 2)) <= 2e-6 * deviation + 1e-7 * size).all()
    np.testing.assert_allclose(maps[18], fractional_anisotropy(tensors), atol=3e-7)


def test_small_anisotropy_is_that_of_float64(device, rng):
    b, g = gradient_table(rng, 64)
    tensors = 1e-3 * np.eye(3) + random_tensors(rng, 500, -5e-6, 5e-6)
    signal = signals(tensors, np.full(500, 700.0), b, g).astype(np.float32)
    expected = fractional_anisotropy(reference_fit(signal, b, g, weighted=False)[0])
    assert expected.max() < 0.01
    np.testing.assert_allclose(fit(device, signal, b, g)[18], expected, atol=1e-6)


def test_only_listed_voxels_are_written_and_each_as_if_alone(device, rng):
    signal, b, g = noisy(rng, 1000, 20)
    everything = fit(device, signal, b, g, reweightings=1)
    voxels = np.flatnonzero(rng.random(1000) < 0.4)
    some = fit(device, signal, b, g, reweightings=1, voxels=voxels)
    np.testing.assert_array_equal(some[:, voxels], everything[:, voxels])
    assert (np.delete(some, voxels, axis=1) == -7.0).all()


def test_threads_do_not_change_a_byte(rng):
    signal, b, g = noisy(rng, 40_000, 12)
    one = fit(cpu(1), signal, b, g, reweightings=1)
    assert fit(cpu(4), signal, b, g, reweightings=1).tobytes() == one.tobytes()


def test_signals_without_meaning(device, rng):
    signal, b, g = noisy(rng, 6, 20)
    signal[0] = 0.0
    signal[1] = -3.0
    signal[2] = np.nan
    signal[3, 7] = np.inf
    signal[4, 5:8] = 0.0
    signal[5] = signal[4]
    signal[4, 5:8] = [0.0, -1.0, np.nan]
    signal[5, 5:8] = 0.02 * signal[5].max()
    maps = fit(device, signal, b, g, reweightings=1, min_signal=0.02)
    assert (np.delete(maps[:, :4], 23, axis=0) == 0).all()
    np.testing.assert_array_equal(maps[23], [3, 3, 3, 3, 1, 1])
    np.testing.assert_allclose(maps[:, 4], maps[:, 5], rtol=1e-4, atol=1e-6)
    assert maps[22, 4] > 0


def test_series_to_planes_is_a_transposition(device, rng):
    for n, volumes in ((1, 1), (64, 32), (129, 33), (700, 69)):
        series = rng.normal(size=(n, volumes)).astype(np.float32)
        planes = device.empty((volumes, n))
        launch(SERIES_TO_PLANES, device, series=device.asarray(series), planes=planes)
        np.testing.assert_array_equal(to_numpy(planes), series.T)


def test_series_median_equals_numpy(device, rng):
    for volumes, n in ((1, 3), (2, 257), (5, 1000), (6, 256), (17, 300)):
        planes = np.round(rng.normal(3, 2, size=(volumes, n)), 1).astype(np.float32)
        planes[rng.integers(volumes), rng.integers(n, size=2)] = np.inf
        planes[rng.integers(volumes), rng.integers(n, size=2)] = np.nan
        median, positive = device.empty((n,)), device.empty((n,), np.uint8)
        launch(SERIES_MEDIAN, device, planes=device.asarray(planes.copy()), median=median, positive=positive)
        np.testing.assert_array_equal(to_numpy(median), np.median(planes, axis=0))
        np.testing.assert_array_equal(to_numpy(positive), np.all(planes > 0, axis=0))
