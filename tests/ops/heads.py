"""Small drawn heads: a textured brain in a shell, seen in two contrasts."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmengine.grid import Grid
from qsmengine.ops.transforms import Transform, bring
from qsmengine.phantom.structural import rotation_matrix

SHAPE = (44, 50, 42)
GRID = Grid(SHAPE, np.array([[4.0, 0, 0, -86], [0, 4.0, 0, -98], [0, 0, 4.0, -82], [0, 0, 0, 1]]))
"""4 mm, about the origin."""


def texture(rng: np.random.Generator) -> np.ndarray:
    """Return tissue between 0 and 1 (x, y, z), without symmetry."""
    noise = gaussian_filter(rng.normal(size=SHAPE), 1.6)
    return np.clip(0.5 + 0.35 * noise / noise.std(), 0, 1)


def head(tissue: np.ndarray, contrast: float) -> np.ndarray:
    """Return an image of a head (x, y, z): ellipsoid with `tissue`, whose contrast may be negative."""
    x, y, z = np.meshgrid(*((np.arange(n) - (n - 1) / 2) / (0.4 * n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    image = np.where(radius < 1, 2 + contrast * (tissue - 0.5), 0.0)
    return gaussian_filter(image, 0.6).astype(np.float32)


def motion(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """Return a rigid transform (4, 4) [mm] about the origin."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_matrix(degrees), shift
    return matrix


def moved(image: np.ndarray, matrix: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Return the image, on `grid`, after the head has moved by `matrix`."""
    return bring(image, GRID, grid, Transform(np.linalg.inv(matrix)), order=3)
