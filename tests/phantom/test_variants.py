import itertools

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from qsmengine.errors import UsageError
from qsmengine.phantom.labels import load_head_index
from qsmengine.phantom.variants import deformation, deformed_head, with_close_skull


@pytest.fixture(scope="module")
def head():
    return load_head_index(1)


def select(head, **wanted):
    return head.lookup([all(getattr(r, k) == v for k, v in wanted.items()) for r in head.regions], bool)


def determinant(displacement):
    rows = [np.gradient(c) for c in displacement]
    total = 0.0
    for order in itertools.permutations(range(3)):
        sign = np.linalg.det(np.eye(3)[list(order)])
        total = total + sign * np.prod([rows[i][j] + (i == j) for i, j in enumerate(order)], axis=0)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_deformations_are_invertible_and_of_the_size_asked_for(seed):
    moved = deformation((80, 96, 72), 4.0, np.random.default_rng(seed))
    assert moved.shape == (3, 80, 96, 72)
    assert 2.0 < moved.std() < 6.0
    assert determinant(moved).min() > 0.02


def test_a_deformed_head_keeps_its_regions_but_not_their_places(head):
    found = deformed_head(head, 4.0, np.random.default_rng(1))
    again = deformed_head(head, 4.0, np.random.default_rng(1))
    np.testing.assert_array_equal(found.index, again.index)
    before, after = (np.bincount(h.index.ravel(), minlength=len(head.regions)) for h in (head, found))
    large = before > 3000
    np.testing.assert_array_less(np.abs(np.log(after[large] / before[large])), np.log(1.8))
    assert (found.index != head.index).mean() > 0.1
    assert deformed_head(head, 0.0, np.random.default_rng(1)) is head
    with pytest.raises(UsageError, match="deformation"):
        deformed_head(head, 20.0, np.random.default_rng(1))


def test_a_close_skull_begins_one_voxel_outside_the_brain(head):
    found = with_close_skull(head)
    brain = select(head, brain=True)
    np.testing.assert_array_equal(select(found, brain=True), brain)
    away = distance_transform_edt(~brain)
    assert not select(found, tissue="csf", brain=False)[away > 1].any()
    layer = (away > 1) & (away < 2)
    solid = {
        name: (select(h, tissue="cortical_bone") | select(h, tissue="air"))[layer].mean()
        for name, h in (("before", head), ("after", found))
    }
    assert solid["after"] > 0.6
    assert solid["after"] > 2 * solid["before"]
    near = (away > 1) & (away < 4)
    assert select(found, tissue="air")[near].sum() > 1.5 * select(head, tissue="air")[near].sum()
