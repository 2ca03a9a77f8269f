"""A head of nested balls with deep grey matter, its T1-weighted image, and the classes of a perfect network."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from qsmengine.grid import Grid
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.structures import LEFT_DOWN_FORWARD, STRUCTURES, Segmentation

CENTRES = {"thalamus": (12, -18, 8), "caudate": (14, 10, 12), "putamen": (26, 2, 2), "pallidum": (19, -4, 0),
           "hippocampus": (26, -22, -14), "amygdala": (23, -4, -20), "accumbens": (9, 11, -7)}  # fmt: skip
RADII = {"thalamus": 12, "caudate": 9, "putamen": 10, "pallidum": 7, "hippocampus": 9, "amygdala": 7,
         "accumbens": 4.5}  # fmt: skip
LEVEL = {"csf": 80.0, "gm": 300.0, "wm": 480.0, "skin": 600.0}
FLAIR_LEVEL = {"csf": 40.0, "gm": 230.0, "wm": 200.0, "skin": 250.0}
LESION, LESION_RADIUS = (-20.0, 30.0, 22.0), 7.0


class Made(NamedTuple):
    """Image (x, y, z) without and with lesions on its grid, true fractions, lesions, and segmentation."""

    image: np.ndarray
    with_lesions: np.ndarray
    grid: Grid
    parts: dict[str, np.ndarray]
    lesions: np.ndarray
    segmentation: Segmentation


@cache
def made() -> Made:
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -78.0
    grid = Grid((53, 53, 53), affine, 3.0)
    parts = {name: np.zeros(grid.shape) for name in ("csf", "gm", "wm", "skin", "lesion")}
    steps = (-0.25, 0.25)
    for step in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
        for name, where in _kinds(_points(grid, step)).items():
            parts[name] += where / 8
    rng = np.random.default_rng(1)
    plain = sum(LEVEL[name] * parts[name] for name in ("csf", "gm", "wm", "skin"))
    field = 1 + 0.15 * np.linspace(-1, 1, 53)[:, None, None]
    images = [
        np.abs(field * (plain + level * parts["lesion"]) + 10 * rng.normal(size=grid.shape)).astype(np.float32)
        for level in (LEVEL["wm"], 0.6 * LEVEL["gm"])
    ]
    lesions = parts["lesion"] > 0.5
    parts["wm"] = parts["wm"] + parts["lesion"]
    return Made(images[0], images[1], grid, parts, lesions, _segmentation(grid))


def flair(lesion=320.0):
    """FLAIR image (x, y, z) of the head with its lesion, a receive field and noise."""
    head = made()
    plain = sum(FLAIR_LEVEL[name] * head.parts[name] for name in FLAIR_LEVEL)
    share = head.parts["lesion"]
    field = 1 + 0.3 * np.linspace(-1, 1, head.grid.shape[1])[:, None]
    noise = 6 * np.random.default_rng(2).normal(size=head.grid.shape)
    return np.abs(field * (plain + (lesion - FLAIR_LEVEL["wm"]) * share) + noise).astype(np.float32)


def _points(grid, step=(0.0, 0.0, 0.0)):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1) + np.asarray(
        step
    )
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def _deep(points):
    """Number of the class of the deep grey matter at `points`, 0 elsewhere."""
    found = np.zeros(points.shape[:-1], np.uint8)
    for s in sorted(STRUCTURES, key=lambda s: -RADII[s.name]):
        for side in (-1, 1):
            centre = np.array(CENTRES[s.name]) * [side, 1, 1]
            found[((points - centre) ** 2).sum(axis=-1) < RADII[s.name] ** 2] = s.number
    return found


def _kinds(points):
    radius = np.linalg.norm(points, axis=-1)
    deep = _deep(points) > 0
    lesion = ((points - np.array(LESION)) ** 2).sum(axis=-1) < LESION_RADIUS**2
    return {
        "csf": (radius >= 58) & (radius < 63),
        "gm": ((radius >= 46) & (radius < 58)) | deep,
        "wm": (radius < 46) & ~deep & ~lesion,
        "lesion": lesion,
        "skin": (radius >= 68) & (radius < 74),
    }


def _segmentation(grid):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = LEFT_DOWN_FORWARD * 2.0, (63.3, -63.4, 63.3)
    own = Grid((64, 64, 64), affine, 3.0)
    points = _points(own)
    radius = np.linalg.norm(points, axis=-1)
    classes = _deep(points)
    classes[(classes == 0) & (radius < 46)] = CLASSES.index("white_matter")
    classes[(radius >= 46) & (radius < 58)] = CLASSES.index("cortex")
    return Segmentation(classes, own, np.linalg.norm(_points(grid), axis=-1) < 63)
