"""Blockwise non-local means against its definition in float64, and what it must keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import resolve_device
from tests.stages.denoise.oracle import brute_force_blocks
from tests.stages.denoise.test_mnlm import noisy, run

CASES: dict[str, Any] = {
    "one component": (1, (2, 2, 2), (1, 1, 1), {}),
    "two, every voxel a centre": (2, (1, 1, 1), (1, 1, 1), {"stride": 1}),
    "three, anisotropic": (3, (1, 2, 0), (0, 1, 2), {"stride": 3, "h": 1.5}),
    "four, own weight the largest": (4, (1, 1, 2), (2, 2, 1), {"largest": True}),
    "strict": (2, (2, 2, 2), (1, 1, 1), {"mean_ratio": 0.99, "variance_ratio": 0.9}),
}


def run_blocks(images, search, patch, options, **more):
    settings = {"block_stride": options.get("stride", 2), "self_weight": "one"}
    settings |= {k: options[k] for k in ("h", "mean_ratio", "variance_ratio") if k in options}
    if options.get("largest"):
        settings["self_weight"] = "largest"
    return run(
        images, search_radius=search, patch_radius=patch, blockwise=True, weight_floor=0.0, **settings, **more
    )


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_definition(case, mapped, rng, device):
    count, search, patch, options = CASES[case]
    images = noisy(rng, (8, 7, 6), count)
    images -= images.mean(axis=(0, 1, 2)) - 20  # means that differ by more and by less than 5 %
    sigma = rng.uniform(1, 2, images.shape[:3] if mapped else count)
    filtered = run_blocks(
        images,
        search,
        patch,
        options,
        sigma=sigma.astype(np.float32) if mapped else tuple(sigma),
        device=device,
    )
    noise = sigma.astype(np.float32)[..., None] if mapped else sigma
    expected = brute_force_blocks(images, noise, search, patch, scaled=not mapped, **options)
    assert np.abs(filtered - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.abs(expected - images).max() > 0.1
    every = {**options, "mean_ratio": 0.0, "variance_ratio": 0.0}
    assert np.abs(brute_force_blocks(images, noise, search, patch, **every) - expected).max() > 0.01


def test_partners_come_from_the_mask(rng):
    images = noisy(rng, (9, 8, 7), 1)
    mask = np.zeros(images.shape[:3], bool)
    mask[1:8, 1:7, 1:6] = True
    filtered = run_blocks(images, (2, 2, 2), (1, 1, 1), {}, sigma=1.0, mask=mask)
    changed = images.copy()
    changed[~mask] = 1000.0
    again = run_blocks(changed, (2, 2, 2), (1, 1, 1), {}, sigma=1.0, mask=mask)
    assert filtered.tobytes() == again.tobytes()
    assert not filtered[~mask].any()
    assert np.abs(filtered - images)[mask].max() > 0.1


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("self_weight", ["one", "largest"])
@pytest.mark.parametrize("where", [(7, 7, 7), (8, 7, 8), (8, 8, 8)])
def test_isolated_voxel_survives(where, self_weight, stride, rng):
    images = rng.normal(100, 5, (17, 16, 17, 1)).astype(np.float32)
    images[where] = 400
    filtered = run(
        images,
        search_radius=5,
        patch_radius=1,
        sigma=5.0,
        blockwise=True,
        block_stride=stride,
        self_weight=self_weight,
    )
    assert abs(filtered[where][0] - 400) < 0.1
    assert filtered[3:5].std() < 2.5


def test_dipy_blockwise_loses_the_isolated_voxel(rng):
    """Why DIPY's form is no peer for the results: it leaves the block itself out."""
    from dipy.denoise.nlmeans import nlmeans

    image = rng.normal(100, 5, (15, 15, 15))
    image[7, 7, 7] = 400
    theirs = nlmeans(
        image, 5.0, method="blockwise", patch_radius=5, block_radius=1, rician=False, num_threads=1
    )
    assert abs(theirs[7, 7, 7] - 105) < 3


def test_noise_is_averaged_and_the_mean_kept(rng):
    images = rng.normal(100, 5, (20, 20, 20, 2)).astype(np.float32)
    filtered = run(images, search_radius=3, sigma=5.0, blockwise=True)
    assert filtered.std() < 1.0
    assert abs(filtered.mean() - 100) < 0.1


@pytest.mark.parametrize("slab", [1, 3, 7, 24])
@pytest.mark.parametrize("stride", [1, 2])
def test_slabs_give_the_bytes_of_the_whole(slab, stride, rng):
    images = noisy(rng, (27, 8, 9), 2)
    mask = rng.uniform(size=images.shape[:3]) < 0.9
    settings = {"sigma": 1.0, "search_radius": 2, "blockwise": True, "block_stride": stride}
    assert run(images, mask, **settings).tobytes() == run(images, mask, slab=slab, **settings).tobytes()


def test_threads_do_not_change_the_bytes(rng):
    images = noisy(rng, (26, 20, 18), 2)
    settings = {"search_radius": 2, "sigma": 1.0, "blockwise": True}
    one, four = (run(images, device=resolve_device("cpu", n), **settings) for n in (1, 4))
    assert one.tobytes() == four.tobytes()
