"""Convolutions between masked regions against NumPy, and their adjoints."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import RealFFT
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.masked import MaskedConvolution
from qsmengine.ops.shim import ShimProjection

SHAPE = (9, 12, 7)


@pytest.mark.parametrize("w_in_is_one", [True, False])
def test_masked_convolution_equals_numpy_and_its_adjoint_is_one(w_in_is_one, device, rng):
    fft = RealFFT(SHAPE, device)
    response = dipole_response(SHAPE, (1.0, 0.8, 2.0), (0.6, 0.0, 0.8), device)
    w_out = rng.uniform(0, 1, SHAPE).astype(np.float32)
    w_in = np.ones(SHAPE, np.float32) if w_in_is_one else (rng.random(SHAPE) > 0.5).astype(np.float32)
    operator = MaskedConvolution(
        fft, response, device.asarray(w_out), None if w_in_is_one else device.asarray(w_in)
    )
    x, r = rng.standard_normal((2, *SHAPE))
    x *= w_in
    ax = to_numpy(operator.forward(device.asarray(x))).copy()
    atr = to_numpy(operator.adjoint(device.asarray(r)))
    expected = w_out * np.fft.irfftn(np.fft.rfftn(x) * to_numpy(response), s=SHAPE, axes=(0, 1, 2))
    assert np.abs(ax - expected).max() <= 1e-5
    assert np.vdot(ax.astype(float), r) == pytest.approx(np.vdot(x, atr.astype(float)), abs=1e-4)


@pytest.mark.parametrize(("order", "terms"), [(0, 1), (1, 4), (2, 9)])
def test_shims_are_fitted_as_by_weighted_least_squares(order, terms, device, rng):
    voxel = (1.0, 0.8, 2.0)
    weight = (rng.uniform(0.2, 1, SHAPE) * (rng.random(SHAPE) > 0.3)).astype(np.float32)
    field = rng.standard_normal(SHAPE).astype(np.float32)
    x, y, z = np.meshgrid(*[np.arange(n) * h for n, h in zip(SHAPE, voxel, strict=True)], indexing="ij")
    harmonics = [x * 0 + 1, x, y, z, x * y, y * z, x * z, x * x - y * y, 2 * z * z - x * x - y * y][:terms]
    design = np.stack([(weight * h).reshape(-1) for h in harmonics], axis=1)
    data = (weight * field).reshape(-1).astype(float)
    expected = data - design @ np.linalg.lstsq(design, data, rcond=None)[0]
    shim = ShimProjection(device.asarray(weight), voxel, order, device)
    weighted = device.asarray(weight * field)
    shim.project(weighted)
    assert np.abs(to_numpy(weighted).reshape(-1) - expected).max() <= 1e-5
    again = weighted.copy()
    shim.project(again)
    assert np.abs(to_numpy(again - weighted)).max() <= 1e-6
