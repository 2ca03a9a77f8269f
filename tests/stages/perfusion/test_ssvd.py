"""sSVD against a singular value decomposition, and its dependence on delay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz

from qsmengine.backend.device import Device, cpu
from tests.stages.perfusion.curves import FRAMES, STEP, TIMES, artery, deconvolve, exponential, osipi


def test_ssvd_is_a_truncated_svd_of_the_triangular_matrix(rng: np.random.Generator, device: Device) -> None:
    aif = artery(TIMES)
    curves = np.stack([exponential(TIMES, m, 17.0) / m for m in (2.5, 4.0, 7.0, 12.0)])
    curves += 0.02 * rng.normal(size=curves.shape)
    found = deconvolve("ssvd", curves, aif, STEP, device)
    padded = np.pad(aif, 1)
    smooth = (padded[:-2] + 4 * padded[1:-1] + padded[2:]) / 6
    matrix = STEP * toeplitz(smooth, np.zeros(FRAMES))
    f = np.linalg.pinv(matrix, rcond=0.2) @ curves.T
    np.testing.assert_allclose(found["cbf"], 6000 * f.max(axis=0), rtol=1e-4)
    assert np.abs(found["tmax"] / STEP - f.argmax(axis=0)).max() <= 0.5
    missing = np.linalg.norm(curves.T - matrix @ f, axis=0) / np.linalg.norm(curves, axis=1)
    np.testing.assert_allclose(found["residual"], missing, rtol=1e-3)


def test_ssvd_loses_flow_where_tissue_precedes_the_artery() -> None:
    curves = np.stack([exponential(TIMES, 4.0, 15.0 + delay) for delay in (-5.0, 0.0, 5.0)])
    early, undelayed, late = deconvolve("ssvd", curves, artery(TIMES), STEP, cpu(1))["cbf"]
    assert late < undelayed
    assert abs(early / late - 1) > 0.1


def test_blood_flow_of_osipi_s_curves() -> None:
    found = osipi().deconvolve("ssvd", cpu(2))
    assert np.abs(found["cbf"] / osipi().cbf - 1).mean() == pytest.approx(0.114, abs=0.01)
