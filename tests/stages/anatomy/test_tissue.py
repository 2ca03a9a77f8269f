"""Tissue classes of a T1-weighted image: volumes, mixtures, receive field, prior, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom
from scipy.stats import norm

from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tissue import TISSUE_STEP
from qsmengine.errors import InputError
from qsmengine.stages.anatomy.tissue import TissueParams, tissue
from tests.stages.gre import DEVICE, grid_of

SHAPE = (40, 44, 38)
LEVEL = {"csf": 60.0, "gm": 300.0, "wm": 500.0}


@pytest.fixture(scope="module")
def brain():
    """Image with a receive field and noise, true fractions (x, y, z), and a mask."""
    rng = np.random.default_rng(1)
    fine = zoom(gaussian_filter(rng.normal(size=[n // 2 for n in SHAPE]), 2), 6, order=1)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in fine.shape), indexing="ij")
    radius = np.sqrt(sum(a * a for a in axes)) + 1.5 * fine
    kind = np.digitize(radius, [0.55, 0.8])
    parts = {
        name: (kind == k).reshape(SHAPE[0], 3, SHAPE[1], 3, SHAPE[2], 3).mean(axis=(1, 3, 5))
        for k, name in enumerate(("wm", "gm", "csf"))
    }
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    field = np.exp(0.2 * x - 0.15 * y * z + 0.15 * (z**2 - 0.3))
    image = field * sum(LEVEL[name] * part for name, part in parts.items())
    return np.abs(image + 15 * rng.normal(size=SHAPE)), parts, x**2 + y**2 + z**2 < 0.95, field


def test_volumes_are_those_of_the_tissues(brain):
    image, parts, mask, _ = brain
    found = tissue(image, mask, grid_of(SHAPE), TissueParams(), device=DEVICE)
    for name, part in parts.items():
        assert getattr(found, name)[mask].sum() == pytest.approx(part[mask].sum(), rel=0.03)
        assert np.sqrt(((getattr(found, name) - part)[mask] ** 2).mean()) < 0.1


def test_fractions_add_up_to_one_in_the_mask_and_are_zero_outside(brain):
    image, _, mask, _ = brain
    found = tissue(image, mask, grid_of(SHAPE), TissueParams(), device=DEVICE)
    total = found.gm + found.wm + found.csf
    np.testing.assert_allclose(total[mask], 1.0, atol=1e-5)
    assert not total[~mask].any()
    assert min(found.gm.min(), found.wm.min(), found.csf.min()) >= 0


def test_the_receive_field_is_removed(brain):
    image, parts, mask, field = brain
    found = tissue(image, mask, grid_of(SHAPE), TissueParams(), device=DEVICE)
    pure = mask & (parts["wm"] > 0.99)
    ideal = (image / field)[pure]
    assert found.corrected[pure].std() / found.corrected[pure].mean() < 1.2 * ideal.std() / ideal.mean()
    assert image[pure].std() / image[pure].mean() > 1.6 * ideal.std() / ideal.mean()


def test_a_step_gives_the_classes_that_the_formula_gives():
    rng = np.random.default_rng(2)
    level, spread = np.array([0.2, 0.5, 0.9]), np.array([0.05, 0.06, 0.07])
    share, shape = np.array([0.1, 0.2, 0.3, 0.25, 0.15]), (4, 5, 90)
    image = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    old = rng.dirichlet(np.ones(5), shape).transpose(3, 0, 1, 2)
    old = np.ascontiguousarray(old, np.float32)
    weights = rng.uniform(size=27).astype(np.float32)
    out = {"next": np.zeros((5, *shape)), "fraction": np.zeros((3, *shape)), "expected": np.zeros(shape)}
    out = {name: array.astype(np.float32) for name, array in out.items()}
    tables = {"level": level, "spread": spread, "share": share}
    launch(
        TISSUE_STEP, DEVICE, image=image, mask=np.ones(shape, np.uint8), old=old, weights=weights, strength=0.7,
        **{name: table.astype(np.float32) for name, table in tables.items()}, **out,
    )  # fmt: skip
    at = (2, 3, 41)
    near = (old[:, 1:4, 2:5, 40:43] * weights.reshape(3, 3, 3)).sum(axis=(1, 2, 3))
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    agreement = np.maximum(2 - apart, -1) @ (near / near.sum())
    steps, value = np.linspace(0, 1, 4001), float(image[at])
    density, bright = np.zeros(5), np.zeros(5)
    density[::2] = norm.pdf(value, level, spread)
    for k in range(2):
        noise = np.sqrt((spread[k] ** 2 + spread[k + 1] ** 2) / 2)
        likely = norm.pdf(value, level[k] + steps * (level[k + 1] - level[k]), noise)
        density[2 * k + 1] = likely.mean()
        bright[2 * k + 1] = (steps * likely).sum() / likely.sum()
    expected = share * density * np.exp(0.7 * agreement)
    expected /= expected.sum()
    np.testing.assert_allclose(out["next"][:, 2, 3, 41], expected, atol=2e-3)
    white = expected[4] + expected[3] * bright[3]
    assert out["fraction"][2][at] == pytest.approx(white, abs=2e-3)
    assert not out["next"][:, 0].any()
    assert not out["next"][:, :, :, -1].any()


def test_neighbours_decide_between_classes_in_noise(brain):
    _, parts, mask, _ = brain
    rng = np.random.default_rng(3)
    noisy = np.abs(sum(LEVEL[name] * part for name, part in parts.items()) + 60 * rng.normal(size=SHAPE))
    pure = mask & (np.maximum(parts["wm"], parts["gm"]) > 0.999)
    wrong = []
    for strength in (0.0, 0.6):
        found = tissue(noisy, mask, grid_of(SHAPE), TissueParams(strength=strength), device=DEVICE)
        wrong.append(np.abs(found.wm - parts["wm"])[pure].mean())
    assert wrong[1] < 0.8 * wrong[0]


def test_an_image_without_three_classes_is_refused(brain):
    _, _, mask, _ = brain
    rng = np.random.default_rng(4)
    even = 100 + rng.normal(size=SHAPE)
    grid = grid_of(SHAPE)
    with pytest.raises(InputError, match="T1-weighted"):
        tissue(even, mask, grid, TissueParams(), device=DEVICE)
    for image, message in ((np.zeros(SHAPE), "no signal"), (np.ones(SHAPE), "no contrast")):
        with pytest.raises(InputError, match=message):
            tissue(image, mask, grid, TissueParams(), device=DEVICE)
    small = np.zeros(SHAPE, bool)
    small[10:15, 10:15, 10:15] = True
    with pytest.raises(InputError, match="125 voxels"):
        tissue(even, small, grid, TissueParams(), device=DEVICE)
