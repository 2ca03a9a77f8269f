"""Joint filtering of complex echoes: less noise in magnitude and phase, no bias of the phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import resolve_device, to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.denoise.complex_mnlm import (
    ComplexMnlmParams,
    complex_mnlm,
    turned_parts,
    with_noise,
)
from qsmengine.stages.denoise.mnlm import MnlmParams, mnlm

SHAPE = (32, 30, 28)
TIMES = (0.008, 0.020)
CPU = resolve_device("cpu", 2)


def echoes(rng, sigma):
    """Two echoes of blocks of tissue with a phase ramp that wraps: (true, noisy), complex."""
    labels = gaussian_filter(rng.normal(size=SHAPE), 3) > 0
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    rate, offset = np.where(labels, 25.0, 45.0), 40 * x + 25 * y * y + np.where(labels, 2.0, -2.0)
    size = np.where(labels, 1.0, 0.7)
    truth = np.stack([size * np.exp(-t * rate + 2j * np.pi * t * offset) for t in TIMES], axis=-1)
    noise = rng.normal(size=truth.shape) + 1j * rng.normal(size=truth.shape)
    return truth, truth + sigma * noise


def run(signal, mask=None, *, sigma=None, params=None):
    inside = np.ones(SHAPE, bool) if mask is None else mask
    magnitude, phase = abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)
    settings = ComplexMnlmParams(search_radius=3, **({"h": 1.0} | (params or {})))
    grid, device = Grid(SHAPE, np.eye(4), 3.0), resolve_device("cpu", 2)
    result = complex_mnlm(magnitude, phase, grid, settings, device=device, mask=inside, sigma=sigma)
    return to_numpy(result.magnitude) * np.exp(1j * to_numpy(result.phase))


@pytest.mark.parametrize("given", ["number", "numbers", "map", "estimated"])
def test_magnitude_and_phase_come_nearer_to_the_truth(given, rng):
    sigma = 0.04
    truth, noisy = echoes(rng, sigma)
    options: Any = {
        "number": {"params": {"sigma": sigma}},
        "numbers": {"params": {"sigma": (sigma, sigma)}},
        "map": {"sigma": np.full(SHAPE, sigma, np.float32)},
        "estimated": {},
    }[given]
    filtered = run(noisy, **options)
    for e in range(2):
        before, after = (s[..., e] * truth[..., e].conj() for s in (noisy, filtered))
        assert np.std(np.angle(after)) < 0.7 * np.std(np.angle(before))
        size = abs(truth[..., e])
        assert np.std(abs(filtered[..., e]) - size) < 0.7 * np.std(abs(noisy[..., e]) - size)
        assert abs(np.angle(after.mean())) < 0.04 * np.std(np.angle(before))


def test_smooth_phase_removed_first_is_better_than_not(rng):
    truth, noisy = echoes(rng, 0.04)
    turned = run(noisy)

    parts = np.stack([f(noisy[..., e]) for e in range(2) for f in (np.real, np.imag)], axis=-1)
    plain = mnlm(
        parts.astype(np.float32), np.ones(SHAPE, bool), Grid(SHAPE, np.eye(4)),
        MnlmParams(search_radius=3, sigma=0.04), device=resolve_device("cpu", 2),
    )  # fmt: skip
    plain = plain[..., ::2] + 1j * plain[..., 1::2]
    assert np.abs(turned - truth).std() < 0.9 * np.abs(plain - truth).std()


@pytest.mark.parametrize(("lmmse", "tolerance"), [(False, 1e-4), (True, 2e-4)])
def test_an_image_without_noise_comes_back_as_it_was(lmmse, tolerance, rng):
    truth, _ = echoes(rng, 0.0)
    params = {"d0": 0.0, "lmmse": lmmse}
    filtered = run(truth, sigma=np.full(SHAPE, 1e-4, np.float32), params=params)
    np.testing.assert_allclose(filtered, truth, atol=tolerance)


def test_nothing_is_left_outside_the_mask(rng):
    _, noisy = echoes(rng, 0.04)
    mask = rng.uniform(size=SHAPE) < 0.5
    filtered = run(noisy, mask, params={"sigma": 0.04})
    assert not filtered[~mask].any()
    assert filtered[mask].all()


def test_noise_is_estimated_over_all_parts_at_once(rng):
    truth, noisy = echoes(rng, 0.04)
    texture = 0.15 * rng.normal(size=SHAPE)[..., None] * truth
    parts, params = [_parts(signal) for signal in (noisy, noisy + texture)], ComplexMnlmParams()
    inside = np.ones(SHAPE, bool)
    found = [with_noise(params, p, inside, CPU, None)[0].sigma for p in parts]
    np.testing.assert_allclose(found, 0.04, rtol=0.05)
    given = params.model_copy(update={"sigma": (0.1, 0.2)})
    assert with_noise(given, parts[0], inside, CPU, None) == (given, None)


def test_local_noise_follows_coil_maps(rng):
    """Noise that grows across the image, as after parallel imaging: a map of it is better than one number."""
    truth, _ = echoes(rng, 0.0)
    sigma = (0.02 * np.linspace(1, 4, SHAPE[0])[:, None, None] * np.ones(SHAPE))[..., None]
    noise = rng.normal(size=truth.shape) + 1j * rng.normal(size=truth.shape)
    noisy = truth + sigma * noise
    settings, sigma_map = with_noise(
        ComplexMnlmParams(noise="local"), _parts(noisy), np.ones(SHAPE, bool), CPU, None
    )
    assert settings.sigma is None
    ratio = sigma_map / sigma[..., 0]
    assert np.sqrt(np.mean((ratio - 1) ** 2)) < 0.2
    error = {
        kind: np.sqrt(np.mean(abs(run(noisy, params={"noise": kind}) - truth) ** 2))
        for kind in ("global", "local")
    }
    assert error["local"] < 0.97 * error["global"]
    given = run(noisy, sigma=sigma_map)
    np.testing.assert_array_equal(run(noisy, params={"noise": "local"}), given)


def _parts(signal):
    inside = np.ones(SHAPE, bool)
    return turned_parts(
        abs(signal).astype("f4"), np.angle(signal).astype("f4"), inside, ComplexMnlmParams(), CPU
    )[0]
