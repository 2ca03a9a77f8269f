"""Surfaces of deep grey matter from the intensities of an image."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.stages.anatomy.mixtures import mixture
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.refinement import FLUID, WHITE, Tissues, refine, surroundings

GRID = Grid((40, 40, 40), np.eye(4), 3.0)
FINE = 5
GREY, BRIGHT, DARK = 0.66, 1.0, 0.08


def _ball(radius, centre=(19.3, 19.6, 19.4), parts=FINE):
    """Fraction of each voxel (x, y, z) inside a ball [1]."""
    at = (np.arange(40 * parts) + 0.5) / parts - 0.5
    inside = sum((axis - c) ** 2 for axis, c in zip(np.ix_(at, at, at), centre, strict=True)) < radius**2
    return inside.reshape(40, parts, 40, parts, 40, parts).mean(axis=(1, 3, 5)).astype(np.float32)


def _image(true, outside, noise=0.0, seed=3):
    exact = true * GREY + (1 - true) * outside
    return (exact + noise * np.random.default_rng(seed).standard_normal(exact.shape)).astype(np.float32)


def _refined(true, label, outside=BRIGHT, noise=0.0, image=None):
    white = outside == BRIGHT
    image = _image(true, outside, noise) if image is None else image
    tissues = Tissues(
        image, true, (1 - true) * white, ((1 - true) * (not white)).astype(np.float32)
    )  # fmt: skip
    around = np.full(GRID.shape, WHITE if white else FLUID, np.uint8)
    return refine(label[..., None], around, tissues, GRID)


@pytest.mark.parametrize("outside", [BRIGHT, DARK])
@pytest.mark.parametrize("wrong", [1.0, 0.5])
def test_fractions_are_exact_without_noise_where_the_label_is_too_large(outside, wrong):
    true = _ball(9.0)
    found = _refined(true, _ball(9.0 + wrong, parts=1), outside)
    kept = true > 0.5 if outside == DARK else np.ones(GRID.shape, bool)
    assert np.abs(found.fractions[..., 0] - true)[kept].max() < 0.03
    assert found.contrast[0] == 1.0
    if outside == BRIGHT:
        assert found.fractions.sum() == pytest.approx(true.sum(), rel=0.003)
        ours = found.labels == 0
        assert 2 * (ours & (true > 0.5)).sum() / (ours.sum() + (true > 0.5).sum()) > 0.985


@pytest.mark.parametrize("noise", [0.02, 0.04])
def test_volume_with_noise(noise):
    true = _ball(9.0)
    before = _ball(10.0, parts=1)
    found = _refined(true, before, BRIGHT, noise)
    assert before.sum() > 1.3 * true.sum()
    assert found.fractions.sum() == pytest.approx(true.sum(), rel=0.04)


def test_a_label_that_is_too_small_grows_by_a_voxel_at_most():
    true = _ball(9.0)
    found = _refined(true, _ball(8.0, parts=1), BRIGHT, 0.02)
    assert _ball(8.0).sum() < found.fractions.sum() <= true.sum()
    assert not found.fractions[_ball(10.5) == 0].any()


def test_without_contrast_the_labels_of_the_network_stay():
    label = _ball(9.0)
    image = (0.8 + 0.03 * np.random.default_rng(1).standard_normal(GRID.shape)).astype(np.float32)
    found = _refined(_ball(7.0), label, image=image)
    np.testing.assert_array_equal(found.fractions[..., 0], label)
    np.testing.assert_array_equal(found.labels == 0, label >= 0.5)
    assert found.contrast[0] == 0.0


def test_darker_tissue_next_to_a_structure_is_left_out():
    """A sheet of the structure's intensity, a voxel away in white matter, as the claustrum."""
    true = _ball(9.0)
    image = _image(true, BRIGHT, 0.02)
    image[30:32] = GREY
    found = _refined(true, (true > 0.5).astype(np.float32), image=image)
    assert found.labels[30:32].max() == -1
    assert found.fractions[30:32].sum() < 0.02 * true.sum()


def test_the_same_image_gives_the_same_fractions():
    true, label = _ball(9.0), _ball(9.5, parts=1)
    one, two = (_refined(true, label, BRIGHT, 0.03) for _ in range(2))
    np.testing.assert_array_equal(one.fractions, two.fractions)
    np.testing.assert_array_equal(one.labels, two.labels)


def test_outside_the_brain_mask_nothing_changes():
    true, label = _ball(9.0), _ball(10.0, parts=1)
    image = np.where(np.indices(GRID.shape)[0] < 20, _image(true, BRIGHT), 0).astype(np.float32)
    found = _refined(true, label, image=image)
    np.testing.assert_array_equal(found.fractions[20:, ..., 0], label[20:])


def test_mixtures_have_the_mean_of_their_shares():
    image = np.linspace(0.6, 1.1, 7)
    density, share = mixture(image, np.full(7, 0.7), np.full(7, 1.0), np.full(7, 0.03))
    v = np.linspace(0, 1, 20001)
    for k, value in enumerate(image):
        each = np.exp(-0.5 * ((value - (1.0 * v + 0.7 * (1 - v))) / 0.03) ** 2) / np.sqrt(2 * np.pi) / 0.03
        assert density[k] == pytest.approx(each.mean(), rel=1e-3)
        assert share[k] == pytest.approx((each * v).sum() / each.sum(), abs=1e-3)


def test_every_class_of_the_network_has_surroundings():
    numbers = surroundings(np.arange(len(CLASSES), dtype=np.uint8))
    assert numbers[CLASSES.index("white_matter")] == WHITE
    assert numbers[CLASSES.index("lateral_ventricle")] == FLUID
    assert numbers[CLASSES.index("thalamus")] == FLUID
