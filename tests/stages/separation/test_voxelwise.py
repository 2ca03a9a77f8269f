from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar, nnls

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.head import virtual_head
from qsmengine.stages.inversion.weighted_tv import WeightedTvParams, weighted_tv
from qsmengine.stages.relaxometry.arlo import ArloParams, arlo
from qsmengine.stages.separation.voxelwise import (
    R2primeParams,
    R2starParams,
    least_breaking_offset,
    separate_gradient_echoes,
    separate_with_r2,
    split,
)
from tests.stages.gre import DEVICE

DR = 137.0
SHAPE = (14, 12, 10)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 1.0), field_strength=3.0)
MASK = np.ones(SHAPE, bool)


def sources(rng):
    """Parts with fluid in a corner, where both are 0."""
    positive, negative = rng.uniform(0, 0.15, SHAPE), -rng.uniform(0, 0.08, SHAPE)
    positive[:4, :4], negative[:4, :4] = 0, 0
    return positive, negative


@pytest.mark.parametrize("weight", [0.2, 1.0, 5.0])
def test_split_is_non_negative_least_squares(weight, rng):
    total = rng.normal(0, 0.1, 200).astype(np.float32)
    strength = np.abs(rng.normal(0, 0.1, 200)).astype(np.float32)
    positive, negative = split(total, strength, weight)
    root = np.sqrt(weight)
    for t, s, p, n in zip(total, strength, positive, negative, strict=True):
        expected, _ = nnls(np.array([[1.0, -1.0], [root, root]]), np.array([t, root * s]))
        assert (p, -n) == pytest.approx(tuple(expected), abs=1e-6)


def test_parts_come_back_whatever_constant_chi_lacks(rng):
    positive, negative = sources(rng)
    r2 = rng.uniform(8, 14, SHAPE)
    r2star = r2 + DR * (positive - negative)
    for lacking in (0.0, 0.02, -0.03):
        chi = positive + negative - lacking
        result = separate_with_r2(chi, r2star, r2, MASK, GRID, R2primeParams(), device=DEVICE)
        assert result.offset == pytest.approx(lacking, abs=1e-4)
        np.testing.assert_allclose(result.chi_positive, positive, atol=2e-4)
        np.testing.assert_allclose(result.chi_negative, negative, atol=2e-4)
        np.testing.assert_allclose(result.chi_total, positive + negative, atol=2e-4)


def test_relaxivity_grows_with_the_field(rng):
    positive, negative = sources(rng)
    r2star = 10 + DR * 7 / 3 * (positive - negative)
    grid = GRID.replace(field_strength=7.0)
    r2 = np.full(SHAPE, 10.0)
    result = separate_with_r2(positive + negative, r2star, r2, MASK, grid, R2primeParams(), device=DEVICE)
    np.testing.assert_allclose(result.chi_positive, positive, atol=2e-4)
    nameless = GRID.replace(field_strength=None)
    with pytest.raises(InputError, match="MagneticFieldStrength"):
        separate_with_r2(positive, r2star, r2, MASK, nameless, R2primeParams(), device=DEVICE)


def test_gradient_echoes_suffice_where_tissue_is_as_assumed(rng):
    positive, negative = sources(rng)
    params = R2starParams(r2_base=9.0, reversible=0.6)
    r2star = 9.0 + DR * (positive - negative) / 0.6
    result = separate_gradient_echoes(positive + negative, r2star, MASK, GRID, params, device=DEVICE)
    np.testing.assert_allclose(result.chi_positive, positive, atol=2e-4)
    np.testing.assert_allclose(result.chi_negative, negative, atol=2e-4)


def test_offset_is_the_least_of_its_sum(rng):
    total = rng.normal(0.02, 0.08, 3000).astype(np.float32)
    strength = np.abs(rng.normal(0, 0.06, 3000)).astype(np.float32)

    def broken(c):
        return float((np.maximum(0, np.abs(total.astype(float) + c) - strength) ** 2).sum())

    expected = minimize_scalar(broken, bounds=(-0.5, 0.5), method="bounded", options={"xatol": 1e-8}).x
    assert least_breaking_offset(total, strength) == pytest.approx(expected, abs=1e-5)


def test_without_search_chi_is_taken_as_it_is(rng):
    positive, negative = sources(rng)
    r2star = 10 + DR * (positive - negative)
    chi, r2 = positive + negative + 0.01, np.full(SHAPE, 10.0)
    params = R2primeParams(find_offset=False)
    result = separate_with_r2(chi, r2star, r2, MASK, GRID, params, device=DEVICE)
    assert result.offset == 0.0
    both = np.abs(chi) < positive - negative
    np.testing.assert_allclose(result.chi_total[both], chi[both], atol=1e-6)


MYELIN = {"white": (2, 41, 7, 46, 16), "deep": (10, 49, 11, 50, 12, 51, 13, 52), "cortex": (3, 42, 8, 47)}
DIAMAGNETIC = {"white": -0.040, "deep": -0.026, "cortex": -0.018}
DECAY = {"white": 13.5, "deep": 13.5, "cortex": 10.5}
"""Susceptibility of myelin [ppm] and R2 [1/s] by kind of tissue."""


@pytest.fixture(scope="module")
def reconstructed():
    """A virtual head with known parts; chi and R2* from its noisy echoes at SNR 60."""
    head = virtual_head(voxel_size=(3.0, 3.0, 3.0), seed=3)
    rng = np.random.default_rng(11)
    mask, grid, times = head.mask, head.grid, np.array(head.gre.echo_times)

    def painted(values, spread):
        image = sum(v * np.isin(head.labels, MYELIN[kind]) for kind, v in values.items())
        texture = gaussian_filter(rng.standard_normal(mask.shape), 1.5)
        return gaussian_filter(image, 0.5) * (1 + spread * texture / texture.std()) * mask

    negative, r2 = painted(DIAMAGNETIC, 0.1), painted(DECAY, 0.05)
    positive = np.maximum(head.truth["chi"].array - negative, 0) * mask
    chi = (positive + negative).astype(np.float32)
    field = FieldModel.on_cpu(grid.shape, grid.voxel_size, grid.b0_direction).field(chi)
    size = head.gre.magnitude[..., :1] * np.exp(-(r2 + DR * (positive - negative))[..., None] * times)
    sigma = size[..., 0][mask].mean() / 60
    size = np.abs(
        size + sigma * (rng.standard_normal(size.shape) + 1j * rng.standard_normal(size.shape))
    ).astype(np.float32)
    spread = sigma / np.sqrt((size**2 * times**2).sum(axis=-1)) / (2 * np.pi * 42.576 * 3)
    noisy = (field + spread * rng.standard_normal(mask.shape)).astype(np.float32)
    found = weighted_tv(
        noisy,
        mask,
        grid,
        WeightedTvParams(**{"lambda": 2e-5, "iterations": 60}),
        device=DEVICE,
        weight=1 / spread,
    )
    rate = arlo(size, mask, tuple(times), grid, ArloParams(), device=DEVICE).r2star
    r2 = r2 * (1 + 0.04 * rng.standard_normal(mask.shape))
    return found - found[mask].mean() * mask, rate, r2, mask, grid, positive, negative


def error(found, truth, mask):
    return np.linalg.norm((found - truth)[mask]) / np.linalg.norm(truth[mask])


@pytest.mark.parametrize(("method", "limits"), [("r2prime", (0.30, 0.30)), ("r2star", (0.55, 0.45))])
def test_parts_of_a_head_are_nearer_than_the_signs_of_chi(method, limits, reconstructed):
    chi, r2star, r2, mask, grid, positive, negative = reconstructed
    if method == "r2prime":
        result = separate_with_r2(chi, r2star, r2, mask, grid, R2primeParams(), device=DEVICE)
    else:
        result = separate_gradient_echoes(chi, r2star, mask, grid, R2starParams(), device=DEVICE)
    parts = ((result.chi_positive, positive, 1), (result.chi_negative, negative, -1))
    for (part, truth, sign), limit in zip(parts, limits, strict=True):
        nearest_null = min(
            error(np.clip(sign * (chi + c), 0, None) * sign, truth, mask) for c in np.linspace(-0.02, 0.02, 9)
        )
        got = error(part, truth, mask)
        assert got < limit
        assert got < 0.8 * nearest_null
        assert np.corrcoef(part[mask], truth[mask])[0, 1] > 0.8
        assert (part * sign >= 0).all()
