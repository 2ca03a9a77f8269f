"""Cerebral arteries drawn into the label map: the middle and anterior cerebral arteries.

The paths follow landmarks of the labels: from the optic chiasm to the lower front of the putamen (M1), in three
branches over the insula lateral to it (M2), and along the midline in front of the corpus callosum (A2). Control
points and radii vary with the random numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.veins import draw_segments

TRUNK_RADIUS = (2.0, 2.4)
"""Range of the radius of M1 [voxels of the label map, 1 mm]."""
BRANCH_RADIUS = (1.4, 1.9)
"""Range of the radius of M2 and A2 [voxels of the label map]."""
BEND = 0.7
"""Standard deviation of the control points [voxels of the label map]."""
STEP = 1.5
"""Longest straight piece [voxels of the label map]."""
CHIASM, PUTAMEN = 85, (12, 51)

Points = npt.NDArray[np.float64]


def artery_share(head: HeadIndex, rng: np.random.Generator) -> FloatImage:
    """Return the fraction of drawn artery (x, y, z) [1] in every voxel of the label map of `head`."""
    labels = np.array([region.label for region in head.regions])[head.index]
    open_space = head.lookup([region.brain or region.tissue == "csf" for region in head.regions], bool)
    chiasm = np.argwhere(labels == CHIASM).mean(axis=0)
    paths: list[tuple[Points, float]] = []
    for label in PUTAMEN:
        paths += _middle(chiasm, np.argwhere(labels == label), rng)
    paths.append(_anterior(chiasm, rng))
    pieces = [_pieces(points, radius, rng) for points, radius in paths]
    start, stop, radius = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return draw_segments(start, stop, radius, open_space)


def _middle(
    chiasm: Points, putamen: npt.NDArray[np.intp], rng: np.random.Generator
) -> list[tuple[Points, float]]:
    """Return trunk and branches of one side: control points (n, 3) and radius."""
    low, high = putamen.min(axis=0).astype(float), putamen.max(axis=0).astype(float)
    side = np.sign(putamen[:, 0].mean() - chiasm[0])
    lateral = high[0] if side > 0 else low[0]
    middle = (low + high) / 2
    start = chiasm + np.array([side * 7, -1, 1])
    fork = np.array([lateral + side * 4, high[1] - 8, low[2] + 1])
    trunk = np.array([start, (start + fork) / 2 + np.array([0, 2, -2]), fork])
    over = lateral + side * 8
    targets = (
        [[over, high[1] - 2, middle[2]], [over + side * 2, high[1] - 2, high[2] + 6]],
        [[over, middle[1] + 2, middle[2] + 2], [over + side * 2, middle[1], high[2] + 8]],
        [[over, middle[1], middle[2] - 3], [over + side * 2, low[1] - 4, middle[2] + 6]],
    )
    found = [(trunk, rng.uniform(*TRUNK_RADIUS))]
    found += [(np.array([fork, *target]), rng.uniform(*BRANCH_RADIUS)) for target in targets]
    return found


def _anterior(chiasm: Points, rng: np.random.Generator) -> tuple[Points, float]:
    """Return control points (n, 3) and radius of the artery in the midline."""
    steps = [[0, 5, 2], [0, 18, 8], [0, 24, 20], [0, 18, 34], [0, 2, 42]]
    return chiasm + np.array(steps, dtype=float), rng.uniform(*BRANCH_RADIUS)


def _pieces(points: Points, radius: float, rng: np.random.Generator) -> tuple[Points, Points, Points]:
    """Return starts and ends (n, 3) of short straight pieces along bent points, and their radii (n,)."""
    bent = points + rng.normal(0.0, BEND, points.shape)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(bent, axis=0), axis=1))])
    places = np.linspace(0.0, along[-1], int(np.ceil(along[-1] / STEP)) + 1)
    line = np.stack([np.interp(places, along, bent[:, axis]) for axis in range(3)], axis=1)
    return line[:-1], line[1:], np.full(len(line) - 1, radius)
