"""Noise estimates on images whose noise is known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import resolve_device, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.denoise.noise import estimate_sigma, estimate_sigma_map, quietest, repeated_noise

CPU = resolve_device("cpu", 2)


def head(edge=56):
    """A ball with structure in air, and where it is."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, edge),) * 3, indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    image = 500.0 * (radius < 0.8) + 200 * (radius < 0.4) + 100 * x * (radius < 0.8)
    return gaussian_filter(image, 0.7), radius < 0.75, x


@pytest.mark.parametrize("sigma", [5.0, 12.0])
@pytest.mark.parametrize("masked", [False, True])
def test_sigma_of_complex_and_magnitude_images_is_found(sigma, masked, rng, device):
    image, mask, _ = head()
    real, imag = (sigma * rng.normal(size=image.shape) for _ in range(2))
    components = np.stack([image + real, imag, np.hypot(image + real, imag)], axis=-1).astype(np.float32)
    found = estimate_sigma(components, mask if masked else None, device=device)
    np.testing.assert_allclose(found, sigma, rtol=0.12)


def test_local_sigma_follows_coil_maps(rng, device):
    """Noise of a least-squares combination of coils: sqrt(1 / sum |s|^2), uneven over the image."""
    image, mask, x = head(64)
    coils = [np.exp(-((x - c) ** 2) / 0.8) for c in (-1.2, 1.2)]
    sigma = 8.0 / np.sqrt(sum(c**2 for c in coils))
    noisy = (image + sigma * rng.normal(size=image.shape)).astype(np.float32)[..., None]
    assert sigma[mask].max() > 1.5 * sigma[mask].min()
    ratio = to_numpy(estimate_sigma_map(noisy, mask, device=device))[..., 0] / sigma
    uniform = estimate_sigma(noisy, mask, device=device)[0] / sigma
    assert abs(np.median(ratio[mask]) - 1) < 0.05
    error = np.sqrt(np.mean((ratio[mask] - 1) ** 2))
    assert error < 0.12
    assert error < 0.6 * np.sqrt(np.mean((uniform[mask] - 1) ** 2))


def test_noise_of_unlike_components_is_told_apart(rng):
    image, mask, _ = head(40)
    components = np.stack([image + s * rng.normal(size=image.shape) for s in (2.0, 9.0)], axis=-1)
    np.testing.assert_allclose(estimate_sigma(components, mask, device=CPU), (2.0, 9.0), rtol=0.1)


def test_image_without_noise_and_too_few_voxels_are_named():
    flat = np.ones((12, 12, 12, 1), np.float32)
    with pytest.raises(InputError, match="sigma"):
        estimate_sigma(flat, None, device=CPU)
    few = np.zeros((12, 12, 12), bool)
    few[4:7, 4:7, 4:7] = True
    with pytest.raises(InputError, match=r"only [01] voxels"):
        estimate_sigma(flat + np.arange(12, dtype=np.float32)[:, None, None, None] ** 3 % 7, few, device=CPU)


@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_combination_of_least_structure_shows_the_noise_of_parts_full_of_it(sigma, rng, device):
    """Texture that all parts share, each in its own measure, raises what each part by itself shows."""
    _, mask, _ = head(48)
    texture = gaussian_filter(rng.normal(size=(*mask.shape, 2)), (0.6, 0.6, 0.6, 0)) * 100
    parts = texture @ np.array([[1.0, 0.1, 0.6, 0.3], [0.0, 0.2, 0.1, 0.6]]) + 300
    noisy = (parts + sigma * rng.normal(size=parts.shape)).astype(np.float32)
    alone = np.array(estimate_sigma(noisy, mask, device=device)) / sigma
    combined = quietest(device.asarray(noisy), mask, device=device)
    together = estimate_sigma(combined, mask, device=device)[0] / sigma
    assert together == pytest.approx(1.0, abs=0.05)
    assert alone.max() > 1.5
    assert combined.shape == (*mask.shape, 1)


def test_combination_of_least_structure_needs_voxels(rng):
    few = np.zeros((12, 12, 12), bool)
    few[4:7, 4:7, 4:7] = True
    with pytest.raises(InputError, match=r"only 1 voxels"):
        quietest(rng.normal(size=(12, 12, 12, 2)).astype(np.float32), few, device=CPU)


@pytest.mark.parametrize("masked", [False, True])
def test_repeats_show_the_noise_whatever_the_anatomy(masked, rng, device):
    image, mask, _ = head(48)
    sigma, image = 5.0, image * (1 + 0.2 * rng.normal(size=image.shape))  # texture of one voxel
    drift = np.array([1.0, 1.0004, 1.0006, 1.001])
    noise = sigma * (rng.normal(size=(*image.shape, 4)) + 1j * rng.normal(size=(*image.shape, 4)))
    repeats = abs(image[..., None] * drift + noise).astype(np.float32)
    alone = estimate_sigma(repeats[..., :1], mask, device=device)[0]
    found = repeated_noise(repeats, mask if masked else None, device=device)
    assert alone > 5 * sigma
    assert found == pytest.approx(sigma, rel=0.05)


def test_map_from_repeats_follows_the_noise(rng, device):
    image, mask, x = head(48)
    sigma = 4 * (2 + x)
    repeats = (image[..., None] + sigma[..., None] * rng.normal(size=(*image.shape, 3))).astype(np.float32)
    ratio = to_numpy(cast("Any", repeated_noise(repeats, mask, device=device, local=True))) / sigma
    assert np.sqrt(np.mean((ratio[mask] - 1) ** 2)) < 0.1


def test_one_volume_is_no_repeat(rng):
    with pytest.raises(InputError, match="two or more"):
        repeated_noise(rng.normal(size=(12, 12, 12, 1)).astype(np.float32), None, device=CPU)
