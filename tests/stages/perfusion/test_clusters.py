"""Ward's clusters are those of SciPy, and do not depend on chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from qsmengine.stages.perfusion.clusters import ward


@pytest.mark.parametrize("count", [1, 2, 5, 17])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_scipy(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(80, 12)) * rng.uniform(0.2, 3.0, 12) + 4.0 * rng.integers(0, 4, (80, 1))
    found, expected = ward(points, count), fcluster(linkage(points, "ward"), count, "maxclust")
    np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)
    assert found.max() == count - 1


def test_clusters_are_numbered_by_their_first_points() -> None:
    points = np.array([[9.0], [0.0], [9.1], [5.0], [0.1]])
    np.testing.assert_array_equal(ward(points, 3), [0, 1, 0, 2, 1])
    np.testing.assert_array_equal(ward(points, 5), np.arange(5))


def test_equal_points_are_merged_in_their_order() -> None:
    np.testing.assert_array_equal(ward(np.zeros((6, 3)), 5), [0, 0, 1, 2, 3, 4])
