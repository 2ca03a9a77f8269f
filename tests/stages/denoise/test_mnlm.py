"""Joint non-local means against its definition, scikit-image, and what must hold for any image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from qsmengine.backend.device import resolve_device, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.nonlocal_blocks import BlockRule
from qsmengine.ops.nonlocal_means import NlmRule, nonlocal_means
from qsmengine.stages.denoise.mnlm import MnlmParams, mnlm
from tests.stages.denoise.oracle import brute_force, by_shifts

CASES: dict[str, Any] = {
    "one component": (1, (1, 1, 1), (1, 1, 1), {}),
    "two, larger patch": (2, (2, 2, 2), (2, 2, 2), {"d0": 1.0}),
    "three, anisotropic": (3, (1, 2, 0), (0, 1, 2), {"h": 0.8}),
    "four, patch beyond the image": (4, (1, 1, 2), (3, 3, 3), {"self_weight": "largest"}),
    "five, one voxel patches": (5, (2, 1, 1), (0, 0, 0), {"weight_floor": 0.05}),
    "nine": (9, (1, 1, 1), (1, 1, 1), {"d0": 2.0, "self_weight": "largest"}),
    "sixteen": (16, (1, 1, 1), (1, 0, 1), {}),
    "candidates beyond the image": (1, (7, 7, 7), (1, 1, 1), {}),
}


def run(images, mask=None, *, sigma, device=None, **params):
    """Filter with `sigma`, a map or numbers."""
    shape = images.shape[:3]
    inside = np.ones(shape, bool) if mask is None else mask
    grid, device = Grid(shape, np.eye(4)), device or resolve_device("cpu", 2)
    is_map = isinstance(sigma, np.ndarray)
    settings = MnlmParams(**params, **({} if is_map else {"sigma": sigma}))
    return to_numpy(mnlm(images, inside, grid, settings, device=device, **({"sigma": sigma} if is_map else {})))


def noisy(rng, shape, components, sigma=1.0):
    smooth = np.stack([gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(components)], axis=-1)
    return (20 * smooth + 30 + sigma * rng.normal(size=smooth.shape)).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("noise", ["scalars", "map", "maps"])
def test_agrees_with_the_definition(case, noise, rng, device):
    count, search, patch, options = CASES[case]
    images = noisy(rng, (7, 6, 5), count)
    settings = {"h": 1.0, "d0": 0.0, "weight_floor": 0.0} | options
    radii = {"search_radius": search, "patch_radius": patch}
    if noise == "scalars":
        sigma = rng.uniform(0.5, 2.0, count)
        filtered = run(images, sigma=tuple(sigma), device=device, **radii, **settings)
    else:
        shape = images.shape[:3] if noise == "map" else images.shape
        sigma = rng.uniform(0.5, 2.0, shape).astype(np.float32)
        filtered = run(images, sigma=sigma, device=device, **radii, **settings)
        sigma = sigma[..., None] if noise == "map" else sigma
    expected = brute_force(
        images, sigma, search, patch, h=settings["h"], d0=settings["d0"],
        floor=settings["weight_floor"], largest="self_weight" in settings,
    )  # fmt: skip
    assert np.abs(filtered - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.abs(expected - images).max() > 0.1


def test_candidates_come_from_the_mask_and_patches_go_on_beyond_it(rng):
    images = noisy(rng, (8, 7, 6), 2)
    mask = rng.uniform(size=images.shape[:3]) < 0.6
    filtered = run(images, mask, search_radius=2, patch_radius=1, sigma=1.0, d0=0.0, weight_floor=0.0)
    numbers = np.stack([uniform_filter(images[..., c] * mask, 3, mode="constant") for c in (0, 1)], axis=-1)
    known = uniform_filter(mask.astype(float), 3, mode="constant")[..., None]
    filled = np.where(mask[..., None], images, numbers / np.maximum(known, 1e-9))
    expected = brute_force(filled, 1.0, (2, 2, 2), (1, 1, 1), candidates=mask)
    np.testing.assert_allclose(filtered[mask], expected[mask], rtol=2e-5)
    assert not filtered[~mask].any()


@pytest.mark.parametrize("radius", [1, 2])
def test_agrees_with_scikit_image_in_the_interior_but_for_its_even_patches(radius, rng):
    """Patches of scikit-image's fast mode lack the first voxel on each axis; its exponential is good to 3 %."""
    from skimage.restoration import denoise_nl_means

    images, size = noisy(rng, (16, 16, 16), 3), 2 * radius + 1
    inner, divisor = (slice(5, -5),) * 3, 3 * size**3
    theirs = denoise_nl_means(
        images.astype(float), patch_size=size, patch_distance=2, h=1.0, fast_mode=True, channel_axis=-1
    )
    even = by_shifts(images, 2, range(1 - radius, radius + 1), divisor)
    changed = np.abs(images - theirs)[inner].mean()
    assert np.abs(even - theirs)[inner].mean() < 0.005 * changed
    ours = run(images, search_radius=2, patch_radius=radius, sigma=1.0, d0=0.0, weight_floor=0.0)
    full = by_shifts(images, 2, range(-radius, radius + 1), divisor)
    assert np.abs(ours - full)[inner].max() <= 1e-5 * np.abs(full).max()


@pytest.mark.parametrize("copies", [2, 4, 7])
def test_identical_components_give_what_one_gives(copies, rng):
    image = noisy(rng, (12, 11, 10), 1)
    one = run(image, search_radius=2, sigma=1.0)
    many = run(np.repeat(image, copies, axis=3), search_radius=2, sigma=1.0)
    np.testing.assert_allclose(many, np.repeat(one, copies, axis=3), rtol=2e-6)


@pytest.mark.parametrize("lmmse", [False, True])
def test_order_of_components_does_not_matter(lmmse, rng):
    images, settings = noisy(rng, (10, 9, 8), 5), {"search_radius": 1, "sigma": 1.0, "lmmse": lmmse}
    order = np.array([3, 0, 4, 1, 2])
    shuffled, plain = run(images[..., order], **settings), run(images, **settings)
    np.testing.assert_allclose(shuffled, plain[..., order], rtol=1e-5 if lmmse else 2e-6)


@pytest.mark.parametrize("lmmse", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_constant_image_stays_what_it_is_whatever_the_noise_map(mapped, lmmse, rng):
    images = np.full((9, 8, 7, 2), 123.25, np.float32)
    sigma = rng.uniform(1, 9, (9, 8, 7)).astype(np.float32) if mapped else 3.0
    mask = rng.uniform(size=(9, 8, 7)) < 0.7
    filtered = run(images, mask, sigma=sigma, search_radius=2, lmmse=lmmse)
    np.testing.assert_allclose(filtered[mask], 123.25, rtol=3e-6)


@pytest.mark.parametrize("lmmse", [False, True])
@pytest.mark.parametrize("factor", [1e-4, 37.0])
def test_image_and_noise_scaled_together_scale_the_result(factor, lmmse, rng):
    images, settings = noisy(rng, (10, 9, 11), 2), {"search_radius": 2, "lmmse": lmmse}
    plain = run(images, sigma=1.5, **settings)
    scaled = run(images * np.float32(factor), sigma=1.5 * factor, **settings)
    np.testing.assert_allclose(scaled, factor * plain, rtol=1e-5)
    noise = rng.uniform(1, 2, images.shape[:3]).astype(np.float32)
    plain = run(images, sigma=noise, **settings)
    scaled = run(images * np.float32(factor), sigma=noise * np.float32(factor), **settings)
    np.testing.assert_allclose(scaled, factor * plain, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"self_weight": "largest"}, {"lmmse": True}])
def test_single_bright_voxel_survives(options, rng):
    images = rng.normal(100, 5, (15, 15, 15, 1)).astype(np.float32)
    images[7, 7, 7] = 400
    filtered = run(images, search_radius=5, sigma=5.0, **options)
    assert abs(filtered[7, 7, 7, 0] - 400) < 0.1
    assert filtered[3:5].std() < 2.5


@pytest.mark.parametrize("slab", [1, 3, 24, 29])
@pytest.mark.parametrize("options", [{}, {"lmmse": True}])
@pytest.mark.parametrize("mapped", [False, True])
def test_slabs_give_the_bytes_of_the_whole(slab, options, mapped, rng):
    images = noisy(rng, (30, 9, 8), 3)
    mask = rng.uniform(size=images.shape[:3]) < 0.9
    sigma = rng.uniform(0.5, 2, images.shape[:3]).astype(np.float32) if mapped else 1.0
    settings = {"sigma": sigma, "search_radius": 3, "patch_radius": 2} | options
    whole, split = run(images, mask, **settings), run(images, mask, slab=slab, **settings)
    assert whole.tobytes() == split.tobytes()


def test_memory_at_hand_decides_the_slabs_and_not_the_bytes(rng, monkeypatch):
    import qsmengine.ops.nonlocal_means as home

    images = noisy(rng, (40, 20, 20), 2)
    whole = run(images, search_radius=2, sigma=1.0)
    spans, filter_slab = [], home._filter_slab
    monkeypatch.setattr(home, "available_memory", lambda _device: 1_000_000)
    monkeypatch.setattr(home, "_filter_slab", lambda *a, **k: spans.append(a[-1]) or filter_slab(*a, **k))
    split = run(images, search_radius=2, sigma=1.0)
    assert len(spans) > 1
    assert whole.tobytes() == split.tobytes()


@pytest.mark.parametrize("options", [{}, {"lmmse": True}])
@pytest.mark.parametrize("mapped", [False, True])
def test_bytes_of_a_voxel_do_not_depend_on_the_tile_it_lies_in(mapped, options, rng):
    images = noisy(rng, (40, 44, 176), 2)
    sigma = rng.uniform(0.5, 2, images.shape[:3]).astype(np.float32)
    part = (slice(5, None), slice(3, None), slice(7, None))
    settings = {"search_radius": (1, 2, 2), "patch_radius": 1} | options
    whole = run(images, sigma=sigma if mapped else 1.0, **settings)
    alone = run(images[part], sigma=np.ascontiguousarray(sigma[part]) if mapped else 1.0, **settings)
    second = len(options)  # its window adds a voxel to what a voxel depends on
    inner = (slice(2 + second, None), slice(3 + second, None), slice(3 + second, None))
    assert whole[part][inner].tobytes() == alone[inner].tobytes()


@pytest.mark.parametrize("lmmse", [False, True])
def test_threads_do_not_change_the_bytes(lmmse, rng):
    images, settings = noisy(rng, (50, 30, 20), 2), {"search_radius": 2, "sigma": 1.0, "lmmse": lmmse}
    one, four = (run(images, device=resolve_device("cpu", n), **settings) for n in (1, 4))
    assert one.tobytes() == four.tobytes()


def test_noise_alone_is_averaged_away(rng):
    images = rng.normal(size=(24, 24, 24, 4)).astype(np.float32)
    assert run(images, search_radius=3, sigma=1.0).std() < 0.12


def test_rician_correction_removes_the_bias_of_low_signal(rng):
    truth, sigma = 2.0, 1.0
    image = np.hypot(truth + rng.normal(size=(24, 24, 24, 1)), rng.normal(size=(24, 24, 24, 1))).astype(
        np.float32
    )
    plain = run(image, search_radius=4, sigma=sigma).mean()
    corrected = run(image, search_radius=4, sigma=sigma, rician=True).mean()
    mapped = run(image, search_radius=4, sigma=np.ones((24, 24, 24), np.float32), rician=True).mean()
    assert abs(corrected - truth) < 0.3 * abs(plain - truth)
    np.testing.assert_allclose(mapped, corrected, rtol=1e-5)


def test_noise_that_is_not_positive_or_not_of_the_components_is_named(rng):
    images = noisy(rng, (8, 8, 8), 2)
    with pytest.raises(InputError, match="sigma"):
        run(images, sigma=np.zeros((8, 8, 8), np.float32))
    with pytest.raises(InputError, match="3 values for 2 components"):
        run(images, sigma=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="3 maps for 2 components"):
        run(images, sigma=np.ones((8, 8, 8, 3), np.float32))


@pytest.mark.parametrize("form", ["voxels", "blocks", "lmmse"])
@pytest.mark.parametrize("slab", [None, 5])
def test_several_devices_give_the_bytes_of_one(slab, form, rng):
    values = noisy(rng, (70, 9, 8), 3).transpose(3, 0, 1, 2).copy()
    mask = rng.uniform(size=values.shape[1:]) < 0.9
    rule = {
        "voxels": NlmRule((2, 2, 2), (1, 1, 1), 1.0),
        "blocks": NlmRule((2, 2, 2), (1, 1, 1), 1.0, blocks=BlockRule()),
        "lmmse": NlmRule((2, 2, 2), (0, 0, 0), 4.0, lmmse=True),
    }[form]
    one = nonlocal_means(values, mask, rule, resolve_device("cpu", 1))
    devices = [resolve_device("cpu", n) for n in (1, 2, 1)]
    several = nonlocal_means(values, mask, rule, devices[0], slab=slab, devices=devices)
    assert one.tobytes() == several.tobytes()
