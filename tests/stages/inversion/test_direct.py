"""The direct inversions TSVD and closed-form L2 against their formulas and against truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.grid import Grid
from qsmengine.stages.inversion.closed_form_l2 import ClosedFormL2Params, closed_form_l2
from qsmengine.stages.inversion.tsvd import TsvdParams, tsvd
from tests.stages.inversion.heads import convolve, dipole, gradient, gradient_energy, head

BOX = (12, 14, 18)
VOXEL, B0 = (1.0, 1.5, 2.0), (0.0, 0.6, 0.8)
GRID = Grid.from_voxel_size(BOX, VOXEL, b0_direction=B0)
EVERYWHERE = np.ones(BOX, bool)


@pytest.mark.parametrize("rescale", [False, True])
def test_tsvd_equals_its_formula(rescale, device, rng):
    assert fast_shape(BOX) == BOX
    field = rng.standard_normal(BOX)
    params = TsvdParams(threshold=0.2, rescale=rescale, margin=0)
    chi = to_numpy(tsvd(device.asarray(field), EVERYWHERE, GRID, params, device=device))
    d = dipole(BOX, VOXEL, B0)
    assert np.abs(np.abs(d) - 0.2).min() > 1e-6
    kept = np.abs(d) > 0.2
    expected = convolve(field, kept / np.where(kept, d, 1))
    if rescale:
        expected /= kept.mean()
    assert np.abs(chi - expected).max() <= 2e-4


def test_closed_form_l2_equals_its_formula(device, rng):
    field = rng.standard_normal(BOX)
    params = ClosedFormL2Params(**{"lambda": 0.02, "margin": 0})
    chi = to_numpy(closed_form_l2(device.asarray(field), EVERYWHERE, GRID, params, device=device))
    d, energy = dipole(BOX, VOXEL, B0), gradient_energy(BOX, VOXEL)
    denominator = d**2 + 0.02 * energy
    denominator[0, 0, 0] = 1
    assert np.abs(chi - convolve(field, d / denominator)).max() <= 1e-5


def test_closed_form_l2_is_the_minimum(device, rng):
    field = rng.standard_normal(BOX)
    params = ClosedFormL2Params(**{"lambda": 0.02, "margin": 0})
    chi = to_numpy(closed_form_l2(field, EVERYWHERE, GRID, params, device=device)).astype(float)
    d = dipole(BOX, VOXEL, B0)

    def objective(x):
        return ((convolve(x, d) - field) ** 2).sum() + 0.02 * (gradient(x, VOXEL) ** 2).sum()

    best = objective(chi)
    for scale in (1e-3, 1e-2):
        for _ in range(10):
            assert objective(chi + scale * rng.standard_normal(BOX)) > best
    assert objective(0.99 * chi) > best
    assert objective(1.01 * chi) > best


def test_more_regularisation_gives_less_noise_and_less_contrast(device, rng):
    _, mask, field, grid = head(rng)
    noise = 0.002 * rng.standard_normal(mask.shape)

    def gain(method, params):
        return [
            np.linalg.norm(to_numpy(method(f, mask, grid, params, device=device))[mask]) for f in (noise, field)
        ]

    weak, strong = (gain(closed_form_l2, ClosedFormL2Params(**{"lambda": lam})) for lam in (1e-3, 1e-1))
    assert strong[0] < 0.5 * weak[0]
    assert strong[1] < weak[1]
    low, high = (gain(tsvd, TsvdParams(threshold=t)) for t in (0.05, 0.2))
    assert high[0] < low[0]
    assert high[1] < low[1]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (tsvd, TsvdParams(threshold=0.1, rescale=False, margin=0)),
        (closed_form_l2, ClosedFormL2Params(**{"lambda": 1e-8, "margin": 0})),
    ],
    ids=["tsvd", "closed_form_l2"],
)
def test_direct_methods_recover_what_the_dipole_does_not_suppress(method, params, device, rng):
    d = dipole(BOX, VOXEL, B0)
    chi = convolve(rng.standard_normal(BOX), np.abs(d) > 0.1)
    estimate = to_numpy(method(convolve(chi, d), EVERYWHERE, GRID, params, device=device))
    assert np.abs(estimate - chi).max() <= 1e-4 * np.abs(chi).max()


def test_direct_methods_filter_the_field_inside_the_mask(device, rng):
    field, mask = rng.standard_normal(BOX), rng.random(BOX) > 0.3
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    d, energy = dipole(BOX, VOXEL, B0), gradient_energy(BOX, VOXEL)
    regularised = d**2 + 0.01 * energy
    regularised[0, 0, 0] = 1
    kept = np.abs(d) > 0.1
    filters: dict[Any, Any] = {tsvd: kept / np.where(kept, d, 1), closed_form_l2: d / regularised}
    settings: dict[Any, Any] = {
        tsvd: TsvdParams(threshold=0.1, rescale=False, margin=0),
        closed_form_l2: ClosedFormL2Params(**{"lambda": 0.01, "margin": 0}),
    }
    for method, response in filters.items():
        estimate = to_numpy(method(field, mask, GRID, settings[method], device=device))
        expected = convolve(field * mask, response) * mask
        assert np.abs(estimate - expected).max() <= 1e-4 * np.abs(expected).max()
