"""A venous tree drawn into the brain: cortical and medullary veins that drain into sinuses.

Paths of least random cost on a coarse lattice lead from leaves in cortex and white matter to the roots: the
upper midline of the brain (superior sagittal sinus) and the midline behind the third ventricle (vein of
Galen). Paths that meet continue together. With n leaves upstream a vein has the radius
LEAF_RADIUS n^(1/3) (Murray's law, 10.1085/jgp.9.6.835), at most LARGEST_RADIUS.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from qsmengine.phantom.resample import FloatImage

LEAVES = 260
LEAF_RADIUS = 0.45
"""Radius of a vein without tributaries [voxels of the label map, 1 mm]."""
LARGEST_RADIUS = 2.0
"""[voxels of the label map]."""
LATTICE = 2
"""Spacing of the lattice of the paths [voxels of the label map]."""
SUBDIVISION = 3
"""Sampling points per axis for the fraction of vein in a voxel."""

Paths = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def vein_share(
    brain: Mask, tissue: Mask, ventricles: Mask, rng: np.random.Generator, parts: int = 1
) -> FloatImage:
    """Return the fraction of vein (x, y, z) [1] in every voxel, or in `parts` of it along each axis.

    Parameters
    ----------
    brain
        (x, y, z): voxels that veins may cross.
    tissue
        (x, y, z): voxels in which veins may begin.
    ventricles
        (x, y, z): deep veins run along them and end behind the third ventricle.
    rng
        Source of leaves and of the paths' bends.
    parts
        Parts of a voxel per axis.
    """
    step = slice(LATTICE // 2, None, LATTICE)
    coarse_brain, coarse_tissue, coarse_ventricles = (m[step, step, step] for m in (brain, tissue, ventricles))
    nodes = np.argwhere(coarse_brain)
    order = np.full(coarse_brain.shape, -1, np.intp)
    order[coarse_brain] = np.arange(len(nodes))
    roots = order[tuple(_roots(coarse_brain, coarse_ventricles).T)]
    parent, length = _paths(coarse_brain, coarse_ventricles, order, roots, rng)
    beginnings = np.flatnonzero(coarse_tissue[coarse_brain] & np.isfinite(length))
    leaves = rng.choice(beginnings, size=min(LEAVES, len(beginnings)), replace=False)
    upstream = _count_upstream(parent, length, leaves)
    radius = np.minimum(LEAF_RADIUS * np.cbrt(upstream), LARGEST_RADIUS)
    position = (nodes + rng.uniform(-0.3, 0.3, nodes.shape)) * LATTICE + LATTICE // 2 + 0.5
    used = np.flatnonzero((upstream > 0) & (parent >= 0))
    return draw_segments(position[used], position[parent[used]], radius[used], brain, parts)


def _roots(brain: Mask, ventricles: Mask) -> Paths:
    """Return the lattice points (n, 3) where veins end: the upper midline, and behind the ventricles."""
    middle = round(float(brain.nonzero()[0].mean()))
    top = [
        (middle, y, int(np.flatnonzero(brain[middle, y])[-1]))
        for y in range(brain.shape[1])
        if brain[middle, y].any()
    ]
    highest = max(z for _, _, z in top)
    centre = [float(i.mean()) for i in ventricles.nonzero()]
    back = np.argwhere(brain & (np.abs(np.arange(brain.shape[0]) - middle) <= 1)[:, None, None])
    target = np.array([middle, centre[1] - 20 / LATTICE, centre[2] - 6 / LATTICE])
    galen = back[np.square(back - target).sum(axis=1).argmin()]
    upper = [p for p in top if p[2] > highest - 50 / LATTICE]
    return np.array([*upper, tuple(galen)], dtype=np.intp)


def _paths(
    brain: Mask, ventricles: Mask, order: Paths, roots: Paths, rng: np.random.Generator
) -> tuple[Paths, Numbers]:
    """Return the next node of every node on its path to a root (-1: none), and the cost of that path.

    The cost is low along the brain's surface and the ventricles, and higher through tissue.
    """
    from scipy.ndimage import distance_transform_edt
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    depth = distance_transform_edt(brain)
    wall = distance_transform_edt(~ventricles)
    easy = np.minimum(np.abs(depth - 1.5), np.abs(wall - 1.0)) * LATTICE / 5.0
    cost = (0.25 + np.minimum(easy, 1.0)) * rng.uniform(0.6, 1.4, brain.shape)
    rows, columns, weights = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=3):
        if offset <= (0, 0, 0):
            continue
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, brain.shape, strict=True))
        there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, brain.shape, strict=True))
        both = brain[here] & brain[there]
        rows.append(order[here][both])
        columns.append(order[there][both])
        weights.append((cost[here] + cost[there])[both] * math.hypot(*offset))
    size = int(order.max()) + 1
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    graph = csr_matrix(entries, shape=(size, size))
    length, parent, _ = dijkstra(graph, directed=False, indices=roots, min_only=True, return_predecessors=True)
    return np.where(parent < 0, -1, parent).astype(np.intp), length


def _count_upstream(parent: Paths, length: Numbers, leaves: Paths) -> Numbers:
    """Return the number of leaves whose path to the root passes through each node."""
    count = np.zeros(len(parent))
    count[leaves] = 1.0
    reached = np.flatnonzero(np.isfinite(length))
    for node in reached[np.argsort(-length[reached])]:
        if count[node] and parent[node] >= 0:
            count[parent[node]] += count[node]
    return count


def draw_segments(start: Numbers, stop: Numbers, radius: Numbers, brain: Mask, parts: int = 1) -> FloatImage:
    """Return the fraction of each part of a voxel of `brain` within `radius` of the segments (n, 3)."""
    points_per_part = math.ceil(SUBDIVISION / parts)
    subdivision = points_per_part * parts
    fine_shape = np.array(brain.shape) * subdivision
    covered: list[npt.NDArray[np.int64]] = []
    kinds = np.ceil(radius * subdivision * 4) / 4  # balls in steps of a quarter of a fine voxel
    for ball_radius in np.unique(kinds):
        chosen = kinds == ball_radius
        along = np.linspace(0.0, 1.0, 2 * LATTICE * subdivision)[:, None, None]
        points = (start[chosen] + along * (stop[chosen] - start[chosen])).reshape(-1, 3) * subdivision
        centres = np.unique(np.floor(points).astype(np.int64), axis=0)
        reach = math.floor(ball_radius)
        offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        offsets = offsets[np.square(offsets).sum(axis=1) <= ball_radius**2]
        sub = (centres[:, None, :] + offsets).reshape(-1, 3)
        sub = sub[((sub >= 0) & (sub < fine_shape)).all(axis=1)]
        covered.append(np.unique(np.ravel_multi_index(tuple(sub.T), tuple(fine_shape))))
    share = np.zeros([n * parts for n in brain.shape], np.float32)
    fine = np.stack(np.unravel_index(np.unique(np.concatenate(covered)), tuple(fine_shape)))
    fine = fine[:, brain[tuple(fine // subdivision)]]
    np.add.at(share, tuple(fine // points_per_part), np.float32(1.0 / points_per_part**3))
    return share
