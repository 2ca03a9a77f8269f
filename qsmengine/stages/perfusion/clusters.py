"""Ward's hierarchical clustering of a few hundred points.

Starting from single points, the two clusters whose union raises the sum of squared distances to the centres
least are merged until the given number is left. With squared distances d between clusters of n points, the
union of i and j has (Lance and Williams)

    d(k, ij) = [(n_i + n_k) d(k, i) + (n_j + n_k) d(k, j) - n_k d(i, j)] / (n_i + n_j + n_k).

Ties are decided by the order of the points, so that the result is reproducible. SciPy's function gives the same
clusters; importing it takes longer than the clustering.

Reference: Ward 1963, 10.1080/01621459.1963.10500845.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qsmengine.stages.perfusion.transform import FloatArray


def ward(points: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Return the clusters (point,) of `points` (point, n), 0 to `count` - 1 in the order of first points.

    `count` is at most the number of points.
    """
    size = len(points)
    square = (points**2).sum(axis=1)
    distance = square[:, np.newaxis] + square - 2.0 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    members, label = np.ones(size), np.arange(size)
    for _ in range(size - count):
        i, j = sorted(divmod(int(distance.argmin()), size))
        both, own = members[i] + members[j], distance[i, j]
        merged = (members[i] + members) * distance[i] + (members[j] + members) * distance[j] - members * own
        distance[i] = distance[:, i] = merged / (both + members)
        distance[i, i] = np.inf
        distance[j] = distance[:, j] = np.inf
        members[i] = both
        label[label == j] = i
    return np.unique(label, return_inverse=True)[1]
