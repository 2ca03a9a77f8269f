"""Linear estimate from the covariance of what looks alike: its definition, its error, what must hold for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import resolve_device, to_numpy
from qsmengine.errors import InputError
from qsmengine.ops.nonlocal_blocks import BlockRule
from qsmengine.ops.nonlocal_means import NlmRule, nonlocal_means
from qsmengine.stages.denoise.mnlm import MnlmParams
from tests.stages.denoise.oracle import brute_force, brute_force_lmmse
from tests.stages.denoise.test_mnlm import noisy, run

CPU = resolve_device("cpu", 2)
CASES = {
    "one component": (1, (1, 1, 1), {}),
    "two, floor": (2, (2, 2, 2), {"floor": 0.05}),
    "four, strict weights": (4, (1, 1, 1), {"h": 0.7}),
    "five, other radii along each axis": (5, (2, 0, 1), {}),
    "sixteen, window beyond the image": (16, (5, 5, 5), {"h": 20.0}),
    "thirty-two": (32, (1, 1, 1), {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("maps", [0, 1, None], ids=["no map", "one map", "a map each"])
def test_agrees_with_the_definition(case, maps, rng, device):
    count, window, options = CASES[case]
    settings: dict[str, Any] = {"h": 4.0, "floor": 0.0} | options
    images, shape = noisy(rng, (7, 6, 5), count), (7, 6, 5)
    guide = images + rng.normal(size=images.shape).astype(np.float32)
    mask = rng.uniform(size=shape) < 0.8
    sigma = rng.uniform(0.5, 2.0, (*shape, count if maps is None else maps)).astype(np.float32)

    def planes(array):
        return device.asarray(np.moveaxis(array, 3, 0))

    rule = NlmRule(window, (0, 0, 0), lmmse=True, **settings)
    filtered = to_numpy(
        nonlocal_means(
            planes(images), device.asarray(mask, bool), rule, device, guide=planes(guide),
            precision=planes(1 / sigma**2) if sigma.size else None,
        )
    )  # fmt: skip
    noise = sigma if sigma.size else 1.0
    expected = brute_force_lmmse(images, guide.astype(float), noise, window, candidates=mask, **settings)
    found = np.moveaxis(filtered, 0, 3)
    assert np.abs(found - expected)[mask].max() <= 1e-5 * np.abs(expected).max()
    assert not found[~mask].any()
    assert np.abs(found - images)[mask].max() > 0.1


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_second_pass_gives_way_to_means_of_many(spread, mapped, rng, device):
    images = (spread * noisy(rng, (7, 6, 5), 3, sigma=0.0) + rng.normal(size=(7, 6, 5, 3))).astype(np.float32)
    sigma = rng.uniform(0.9, 1.5, images.shape if mapped else 3).astype(np.float32)
    settings = {"sigma": sigma if mapped else tuple(map(float, sigma)), "search_radius": 2, "patch_radius": 1}
    settings |= {"h": 1.5, "weight_floor": 0.0, "device": device}
    means, sums = brute_force(images, sigma, (2, 2, 2), (1, 1, 1), h=1.5, sums=True)
    estimate = brute_force_lmmse(images, means, sigma, (1, 1, 1), h=4.0)
    share = np.minimum(1, 10 / sums)[..., None]
    assert share.min() < 0.7
    filtered = run(images, lmmse=True, **settings)
    expected = means + share * (estimate - means)
    assert np.abs(filtered - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("spread", [0.0, 2.0, 8.0])
def test_error_is_that_of_the_factors_and_near_the_best(spread, rng):
    """White texture shared by four components varies by spread^2 + 1 in one direction, by noise in three."""
    shape = (30, 30, 30)
    truth = spread * rng.normal(size=(*shape, 1)) * np.ones(4) / 2 + 50
    images = (truth + rng.normal(size=truth.shape)).astype(np.float32)
    values, mask = np.ascontiguousarray(np.moveaxis(images, 3, 0)), np.ones(shape, bool)
    rule = NlmRule((3, 3, 3), (0, 0, 0), 100.0, lmmse=True)
    filtered = np.moveaxis(nonlocal_means(values, mask, rule, CPU), 0, 3)
    error = np.sqrt(np.mean((filtered - truth) ** 2))
    variance = np.array([spread**2 + 1, 1, 1, 1])
    factor = ((variance - 0.4) / (variance + 0.4)) ** 2
    expected = np.sqrt(np.mean((1 - factor) ** 2 * (variance - 1) + factor**2))
    assert error == pytest.approx(expected, rel=0.13)
    if spread > 0:
        best = np.sqrt(spread**2 / (spread**2 + 1) / 4)  # of an estimate that knows the covariance
        assert 0.98 * best < error < 1.2 * best


def test_components_together_are_better_than_each_by_itself(rng):
    """An edge and a fringe that all components show, each in its own measure."""
    shape, share = (24, 24, 24), np.array([1.0, 0.3, 0.7, -0.8])
    pattern = 4 * gaussian_filter(rng.normal(size=shape), 0.7) / 0.2 + 10 * (np.indices(shape)[0] > 12)
    truth = pattern[..., None] * share
    images = (truth + rng.normal(size=truth.shape)).astype(np.float32)
    settings = {"sigma": 1.0, "search_radius": 2}
    joint = run(images, lmmse=True, **settings)
    each = np.concatenate([run(images[..., c : c + 1], lmmse=True, **settings) for c in range(4)], axis=3)
    means = run(images, **settings)
    error = {
        name: np.std(image - truth) for name, image in (("joint", joint), ("each", each), ("means", means))
    }
    assert error["joint"] < 0.8 * error["each"]
    assert error["joint"] < 0.8 * error["means"]


def test_window_holds_six_voxels_for_each_component():
    radii = {count: MnlmParams(lmmse=True).rules(count)[1].search[0] for count in (1, 4, 5, 20, 21, 32)}
    assert radii == {1: 1, 4: 1, 5: 2, 20: 2, 21: 3, 32: 3}
    assert MnlmParams(lmmse=True, lmmse_radius=2).rules(1)[1].search == (2, 2, 2)
    assert len(MnlmParams().rules(4)) == 1


def test_more_components_than_the_kernel_takes_are_named(rng):
    images = noisy(rng, (6, 6, 6), 33)
    with pytest.raises(InputError, match=r"33 components: .* 32 at most"):
        run(images, sigma=1.0, search_radius=1, lmmse=True)


def test_squares_of_magnitudes_have_no_such_estimate():
    with pytest.raises(ValidationError, match="set lmmse to false"):
        MnlmParams(rician=True, lmmse=True)


@pytest.mark.parametrize("options", [{"patch": (1, 0, 0)}, {"d0": 1.0}, {"blocks": BlockRule()}])
def test_rule_without_a_kernel_is_refused(options):
    with pytest.raises(ValueError, match="patches of one voxel"):
        NlmRule((1, 1, 1), **({"patch": (0, 0, 0)} | options), h=1.0, lmmse=True)


def test_blocks_may_be_the_first_pass(rng):
    images = noisy(rng, (12, 11, 10), 2)
    settings = {"sigma": 1.0, "search_radius": 2}
    blocks = run(images, blockwise=True, **settings)
    both = run(images, blockwise=True, lmmse=True, **settings)
    expected = brute_force_lmmse(images, blocks.astype(float), 1.0, (1, 1, 1), h=4.0, floor=1e-4)
    np.testing.assert_allclose(both, expected, atol=1e-5 * np.abs(expected).max())
