"""The GPU's form of the means for patches of 3 x 3 x 3 voxels, run on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qsmengine.ops.nonlocal_means as home
from qsmengine.backend.device import Device, resolve_device
from qsmengine.backend.signatures.nlm import NLM, NLM_PACKED
from qsmengine.ops.nonlocal_means import NlmRule, nonlocal_means
from tests.stages.denoise.oracle import brute_force
from tests.stages.denoise.test_mnlm import noisy, run

RULE = NlmRule((2, 2, 2), (1, 1, 1), 1.0)


@pytest.fixture
def packed(monkeypatch):
    monkeypatch.setattr(home, "_kernel", lambda *_: NLM_PACKED)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    ("count", "search", "options"),
    [
        (1, (2, 2, 2), {}),
        (2, (1, 3, 0), {"d0": 1.0}),  # 7 shifts along y: two groups of five, the last cut
        (3, (0, 1, 2), {"h": 0.8}),
        (4, (1, 5, 1), {"weight_floor": 0.05}),  # 11: a group of six and one of five
        (4, (0, 0, 0), {}),
        (5, (1, 2, 1), {"d0": 2.0}),
        (9, (1, 6, 1), {}),
        (1, (7, 7, 7), {}),  # candidates beyond the image
    ],
)
@pytest.mark.usefixtures("packed")
def test_agrees_with_the_definition(count, search, options, mapped, rng):
    images = noisy(rng, (7, 8, 5), count)
    settings = {"h": 1.0, "d0": 0.0, "weight_floor": 0.0} | options
    sigma = rng.uniform(0.5, 2.0, images.shape[:3] if mapped else count).astype(np.float32)
    given = sigma if mapped else tuple(float(s) for s in sigma)
    filtered = run(images, sigma=given, search_radius=search, patch_radius=1, **settings)
    expected = brute_force(
        images, sigma[..., None] if mapped else sigma, search, (1, 1, 1),
        h=settings["h"], d0=settings["d0"], floor=settings["weight_floor"],
    )  # fmt: skip
    assert np.abs(filtered - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(67, 13, 65), (33, 6, 29), (3, 7, 1), (1, 1, 64)])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_agrees_with_the_form_for_any_patch_over_several_tiles(shape, count, rng, monkeypatch):
    values = np.ascontiguousarray(noisy(rng, shape, count).transpose(3, 0, 1, 2))
    guide = values + rng.normal(scale=0.5, size=values.shape).astype(np.float32)
    mask = rng.uniform(size=shape) < 0.7
    mask[: shape[0] // 2] &= shape[0] < 40  # tiles without a voxel
    precision = rng.uniform(0.5, 2.0, (1, *shape)).astype(np.float32)
    device, found = resolve_device("cpu", 2), {}
    for kernel in (NLM, NLM_PACKED):
        monkeypatch.setattr(home, "_kernel", lambda *_, kernel=kernel: kernel)
        found[kernel] = nonlocal_means(
            values, mask, replace(RULE, floor=1e-3), device, guide=guide, precision=precision, sums=True
        )
    np.testing.assert_allclose(found[NLM_PACKED][:, mask], found[NLM][:, mask], rtol=1e-5, atol=2e-5)
    assert not found[NLM_PACKED][:, ~mask].any()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.usefixtures("packed")
def test_bytes_of_a_voxel_depend_neither_on_its_tile_nor_on_slabs_and_threads(mapped, rng):
    images = noisy(rng, (40, 17, 45), 2)
    sigma = rng.uniform(0.5, 2, images.shape[:3]).astype(np.float32)
    settings = {"search_radius": (1, 2, 2), "patch_radius": 1}
    whole = run(images, sigma=sigma if mapped else 1.0, **settings)
    part = (slice(5, None), slice(3, None), slice(7, None))
    alone = run(images[part], sigma=np.ascontiguousarray(sigma[part]) if mapped else 1.0, **settings)
    inner = (slice(2, None), slice(3, None), slice(3, None))
    assert whole[part][inner].tobytes() == alone[inner].tobytes()
    for changes in ({"slab": 7}, {"device": resolve_device("cpu", 4)}):
        again = run(images, sigma=sigma if mapped else 1.0, **settings, **changes)
        assert whole.tobytes() == again.tobytes()


@pytest.mark.usefixtures("packed")
def test_constant_image_stays_what_it_is(rng):
    images = np.full((9, 8, 7, 2), 123.25, np.float32)
    mask = rng.uniform(size=(9, 8, 7)) < 0.7
    sigma = rng.uniform(1, 9, (9, 8, 7)).astype(np.float32)
    filtered = run(images, mask, sigma=sigma, search_radius=2)
    np.testing.assert_allclose(filtered[mask], 123.25, rtol=3e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_devices_agree_with_the_definition(count, rng, device):
    images, sigma = noisy(rng, (7, 8, 5), count), rng.uniform(0.5, 2.0, (7, 8, 5)).astype(np.float32)
    options = {"search_radius": 2, "patch_radius": 1, "d0": 0.5, "weight_floor": 0.0}
    filtered = run(images, sigma=sigma, device=device, **options)
    expected = brute_force(images, sigma[..., None], (2, 2, 2), (1, 1, 1), d0=0.5)
    assert np.abs(filtered - expected).max() <= 1e-5 * np.abs(expected).max()


def test_gpu_takes_it_where_it_may():
    gpu = Device(kind="cuda", index=0, threads=1)
    one, each = np.zeros((1, 2, 2, 2)), np.zeros((2, 2, 2, 2))
    assert home._kernel(RULE, None, gpu) is NLM_PACKED
    assert home._kernel(RULE, one, gpu) is NLM_PACKED
    assert home._kernel(RULE, each, gpu) is NLM
    assert home._kernel(replace(RULE, patch=(1, 1, 2)), None, gpu) is NLM
    assert home._kernel(replace(RULE, self_peak=True), None, gpu) is NLM
