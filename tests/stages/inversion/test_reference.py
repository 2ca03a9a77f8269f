from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.stages.inversion.reference import RegionMeanParams, region_mean
from tests.stages.gre import DEVICE, grid_of

SHAPE = (8, 9, 10)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    chi = rng.normal(0.05, 0.1, SHAPE).astype(np.float32)
    mask = rng.random(SHAPE) > 0.3
    labels = rng.integers(0, 5, SHAPE)
    return chi, mask, labels


def refer(chi, mask, labels=None, **params):
    return region_mean(chi, mask, grid_of(SHAPE), RegionMeanParams(**params), device=DEVICE, labels=labels)


def test_whole_mask_becomes_the_zero(images):
    chi, mask, _ = images
    result = refer(chi, mask)
    values = chi[mask].astype(float)
    assert (result.value, result.sd) == pytest.approx((values.mean(), values.std()))
    assert result.count == mask.sum()
    np.testing.assert_allclose(result.chi[mask], values - values.mean(), atol=1e-7)
    assert (result.chi[~mask] == 0).all()


def test_listed_labels_inside_the_mask_are_the_region(images):
    chi, mask, labels = images
    result = refer(chi, mask, labels, region="labels", label_values=(2, 4))
    region = mask & ((labels == 2) | (labels == 4))
    assert result.count == region.sum()
    assert result.value == pytest.approx(chi[region].astype(float).mean())
    assert result.chi[region].astype(float).mean() == pytest.approx(0, abs=1e-7)


def test_none_keeps_the_values(images):
    chi, mask, _ = images
    result = refer(chi, mask, region="none")
    np.testing.assert_array_equal(result.chi[mask], chi[mask])
    assert result.value == 0
    assert result.count == mask.sum()


def test_missing_or_absent_regions_are_errors(images):
    chi, mask, labels = images
    with pytest.raises(UsageError, match="needs a label image"):
        refer(chi, mask, region="labels", label_values=(1,))
    with pytest.raises(UsageError, match="label_values"):
        refer(chi, mask, labels, region="labels")
    with pytest.raises(InputError, match=r"no voxel of labels \[77\]"):
        refer(chi, mask, labels, region="labels", label_values=(77,))


def test_a_fraction_of_a_label_is_no_label(images):
    chi, mask, labels = images
    labels = np.where(labels == 0, np.nan, np.where(labels == 1, 2.5, labels)).astype(np.float32)
    result = refer(chi, mask, labels, region="labels", label_values=(2,))
    region = mask & (images[2] == 2)
    assert result.count == region.sum()
    assert result.value == pytest.approx(chi[region].astype(float).mean())
