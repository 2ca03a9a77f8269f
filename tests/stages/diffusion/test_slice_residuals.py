"""Signals of slices against fits of every model, and lost slices in them."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.data import DwiSeries
from qsmengine.grid import Grid
from qsmengine.modalities.dwi.account import account_of, fit_residuals
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.diffusion.slice_residuals import (
    FitKind,
    leverages,
    model_terms,
    robust_rest,
    slice_residuals,
)
from tests.stages.diffusion.tensors import gradient_table, random_tensors, signals

SHAPE = (9, 10, 12)


def series(rng, noise=0.0, **table) -> DwiSeries:
    """Random tensors in every voxel, their signals multiplied by noise."""
    b, g = gradient_table(rng, **table)
    count = int(np.prod(SHAPE))
    clean = signals(random_tensors(rng, count, 0.4e-3, 1.2e-3), rng.uniform(400, 900, count), b, g)
    noisy = clean * np.exp(noise * rng.normal(size=clean.shape))
    return DwiSeries(noisy.reshape(*SHAPE, -1).astype("f4"), b, g, Grid.from_voxel_size(SHAPE, (2.0,) * 3))


def fit(dwi, method, **more):
    config = load_config(overrides={"diffusion": {"method": method, "mask": None}})
    return run_dti(dwi, config, cpu(2), **more)


@pytest.mark.parametrize("method", ["ols", "wls", "iwls", "restore", "dki", "free_water"])
def test_nothing_is_left_of_signals_that_the_model_describes(rng, method):
    dwi = series(rng, b_values=(700.0, 1500.0))
    found = fit_residuals(fit(dwi, method), dwi)
    assert np.abs(found.apart).max() < 3e-3
    assert np.isfinite(found.residual).mean() > 0.9
    assert np.nanmax(found.residual) < 3e-3


def test_maps_corrected_for_the_gradients_predict_what_was_measured(rng):
    dwi = series(rng)
    deviation = np.broadcast_to(rng.normal(0, 0.05, 9).astype("f4"), (*SHAPE, 9))
    result = fit(dwi, "wls", gradient_deviation=deviation)
    assert fit_residuals(result, dwi, deviation).residual.max() < 1e-3
    assert fit_residuals(result, dwi).residual.max() > 0.05


@pytest.mark.parametrize("method", ["ols", "wls", "dki"])
def test_lost_slices_are_found_and_their_loss_is_that_of_the_signal(rng, method):
    dwi = series(rng, 0.05, b_values=(700.0, 1500.0))
    lost = [(6, 3), (17, 3), (17, 8), (30, 3), (50, 6)]
    for volume, z in lost:
        dwi.signal[:, :, z, volume] *= 0.6
    account = account_of(fit(dwi, method), dwi)
    assert sorted(map(tuple, np.argwhere(account.found.outlier).tolist())) == sorted(lost)
    np.testing.assert_allclose([np.exp(account.slices.apart[place]) for place in lost], 0.6, atol=0.04)


def test_volumes_that_any_fit_follows_and_slices_without_tissue_are_unknown(rng):
    dwi = series(rng, 0.02, directions=30, b0=1)
    dwi.signal[:, :, 2] = 0
    account = account_of(fit(dwi, "wls"), dwi)
    known = np.isfinite(account.slices.apart)
    assert not known[0].any()
    assert not known[:, 2].any()
    assert known[1:, 3:].mean() > 0.9
    nothing = {"s0": np.zeros(SHAPE, "f4"), "tensor": np.zeros((*SHAPE, 6), "f4")}
    assert not np.isfinite(slice_residuals(dwi, nothing, FitKind()).apart).any()


def test_a_robust_fit_leaves_losses_that_least_squares_spreads(rng):
    b, g = gradient_table(rng, 30)
    terms, rows = model_terms(b, g), np.exp(-b * 0.8e-3)
    true = rng.normal(0, 0.01, (len(b), 40))
    lost = np.zeros(true.shape, bool)
    for z in range(40):
        lost[rng.choice(np.arange(4, 34), 6, replace=False), z] = True
    true[lost] -= 0.5
    q = np.linalg.qr(rows[:, None] * terms)[0]
    left = true - (q @ (q.T @ (rows[:, None] * true))) / rows[:, None]
    assert left[lost].mean() > -0.42
    assert np.percentile(np.abs(left[~lost]), 90) > 0.1
    found = robust_rest(left, terms, rows)
    assert np.percentile(np.abs(found - true)[lost], 85) < 0.06
    assert np.percentile(np.abs(found[~lost]), 90) < 0.06
    assert leverages(terms, rows).sum() == pytest.approx(7)
