"""Closed triangular surfaces: the initial sphere and its neighbourhoods."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray

IntArray: TypeAlias = npt.NDArray[np.int32]
Indices: TypeAlias = npt.NDArray[np.int64]


class Mesh(NamedTuple):
    """Closed surface whose triangles are anticlockwise seen from outside."""

    vertices: FloatArray
    """(n, 3)."""
    triangles: IntArray
    """(m, 3) vertices of each triangle."""
    ring: IntArray
    """(n, 6) neighbours of each vertex, anticlockwise seen from outside; -1 after five where there is no
    sixth."""
    parents: IntArray
    """(k, 2) ends of the edges that the last k vertices divide; the vertices before are those of the coarser
    surface."""

    def from_coarser(self, vertices: FloatArray) -> FloatArray:
        """Return any vertices of the next coarser surface together with the midpoints of its edges."""
        return np.concatenate([vertices, vertices[self.parents].mean(axis=1)])


@cache
def unit_sphere(subdivisions: int) -> Mesh:
    """Return the unit sphere: an icosahedron whose triangles are divided into four, `subdivisions` times.

    It has 10 4^subdivisions + 2 vertices; twelve have five neighbours, the others six. The arrays are
    shared and read-only.
    """
    vertices, triangles = _icosahedron()
    parents = np.empty((0, 2), np.int64)
    for _ in range(subdivisions):
        vertices, triangles, parents = _divided(vertices, triangles)
    indices = (triangles.astype(np.int32), _rings(triangles, len(vertices)), parents.astype(np.int32))
    mesh = Mesh(vertices, *indices)
    for array in mesh:
        array.flags.writeable = False
    return mesh


def _icosahedron() -> tuple[FloatArray, Indices]:
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    vertices = np.array([np.roll(corner, shift) for shift in range(3) for corner in corners])
    distance = np.linalg.norm(vertices[:, None] - vertices, axis=-1)
    near = np.abs(distance - 2.0) < 1e-9
    triangles = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    outwards = [
        t if np.linalg.det(vertices[list(t)]) > 0 else (t[0], t[2], t[1])  # the origin lies behind each
        for t in triangles
    ]
    return vertices / np.linalg.norm(vertices[0]), np.array(outwards)


def _divided(vertices: FloatArray, triangles: Indices) -> tuple[FloatArray, Indices, Indices]:
    """Return vertices, triangles, and the ends of the edges whose midpoints are the new vertices."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, which = np.unique(edges, axis=0, return_inverse=True)
    middles = vertices[unique].sum(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    a, b, c = triangles.T
    ab, bc, ca = (which.reshape(-1, 3) + len(vertices)).T
    parts = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    divided = np.concatenate([np.stack(part, axis=1) for part in parts])
    return np.concatenate([vertices, middles]), divided, unique


def _rings(triangles: Indices, count: int) -> IntArray:
    """Return the neighbours around each vertex: in a triangle (v, a, b) the neighbour b follows a.

    The first neighbour is that of the smallest number.
    """
    v, a, b = np.concatenate([np.roll(triangles, -corner, axis=1) for corner in range(3)]).T
    order = np.lexsort((a, v))
    v, a, b = v[order], a[order], b[order]
    vertices, size = np.arange(count), np.bincount(v, minlength=count)
    rings = np.full((count, 6), -1, np.int32)
    current = a[np.searchsorted(v, vertices)]
    for place in range(6):
        known = size > place
        rings[known, place] = current[known]
        current = b[np.searchsorted(v * count + a, vertices * count + current)]
    return rings
