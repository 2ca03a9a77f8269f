"""Diffusion gradient schemes with directions spread by electrostatic repulsion."""

from __future__ import annotations

from functools import cache

import numpy as np

from qsmengine.grid import FloatArray

STEPS = 400


@cache
def repulsion_directions(count: int) -> tuple[tuple[float, float, float], ...]:
    """Return `count` unit vectors of least energy: sum of 1 / distance between them and their antipodes.

    Gradient descent from a Fibonacci spiral on the half sphere, which gives the same directions every time.

    References
    ----------
    Jones et al. 1999, 10.1002/(SICI)1522-2594(199909)42:3<515::AID-MRM14>3.0.CO;2-Q.
    """
    i = np.arange(count) + 0.5
    z, azimuth = 1.0 - i / count, np.pi * (1.0 + 5.0**0.5) * i
    radius = np.sqrt(1.0 - z * z)
    points = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    for step in range(STEPS if count > 1 else 0):
        force = np.zeros_like(points)
        for sign in (1.0, -1.0):
            between = points[:, None, :] - sign * points[None, :, :]
            distance = np.linalg.norm(between, axis=2)
            np.fill_diagonal(distance, np.inf)
            force += (between / distance[..., None] ** 3).sum(axis=1)
        force -= (force * points).sum(axis=1, keepdims=True) * points
        largest = np.linalg.norm(force, axis=1).max()
        points += force * (0.1 * 0.99**step / max(largest, 1e-12) / count**0.5)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return tuple((float(a), float(b), float(c)) for a, b, c in points)


def default_scheme(
    directions: int = 32, b_value: float = 1000.0, b0_volumes: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Return b-values (volume,) [s/mm^2] and b-vectors (volume, 3): `b0_volumes` at b = 0, then one shell."""
    b_values = np.concatenate([np.zeros(b0_volumes), np.full(directions, b_value)])
    b_vectors = np.concatenate([np.zeros((b0_volumes, 3)), np.array(repulsion_directions(directions))])
    return b_values, b_vectors
