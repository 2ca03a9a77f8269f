"""Design matrix of the log-linear tensor model, and the coefficients that the kernels use.

Row v of A is (1, -b gx^2, -2b gx gy, -2b gx gz, -b gy^2, -2b gy gz, -b gz^2) / (1, b_max, ...), so that
log S_v = (A beta)_v with beta = (log S0, b_max D). With A = Q R the fit uses the orthonormal columns of Q, the
best possible conditioning; beta = R^-1 c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.signatures.tensor import VOLUME_BLOCK
from qsmengine.data import SHELL_WIDTH, Array, unweighted_volumes
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray

UNKNOWNS = 7
RANK_TOLERANCE = 1e-4
"""Relative singular value below which a table is rank-deficient: noise would be amplified 10 000 times."""
NORM_TOLERANCE = 1e-2
"""Largest deviation of a direction's length from 1."""


class Design(NamedTuple):
    """Coefficients of a fit with k unknowns: float32, volumes in blocks of 8 padded with zeros.

    `basis` (block, k, 8) is Q, `products` (block, k (k + 1) / 2, 8) the products of its columns (lower
    triangle row by row), `up` (k, k) is R^-1, `down` (k, k) is R, `b_max` [s/mm^2] the largest b-value.
    """

    basis: Array
    products: Array
    up: Array
    down: Array
    b_max: float


def tensor_design(b_values: Array, b_vectors: Array, b0_threshold: float) -> Design:
    """Return the coefficients for a gradient table, computed in float64.

    Parameters
    ----------
    b_values
        (volume,) [s/mm^2]; values up to `b0_threshold` count as 0.
    b_vectors
        (volume, 3) unit vectors, or zero where b counts as 0.

    Raises
    ------
    InputError
        For counts that differ, values that are not finite or negative, directions that are not unit
        vectors, and a table that cannot determine a tensor; the message gives its rank.
    """
    b_values, b_vectors = checked_table(b_values, b_vectors, b0_threshold)
    b_values = np.where(b_values <= b0_threshold, 0.0, b_values)
    b_max = float(b_values.max())
    matrix = design_matrix(b_values / (b_max or 1.0), b_vectors)
    singular = np.linalg.svd(matrix, compute_uv=False)
    rank = int((singular > RANK_TOLERANCE * singular[0]).sum())
    if rank < UNKNOWNS:
        weighted = int((b_values > 0).sum())
        different = distinct_directions(b_values, b_vectors)
        raise InputError(
            f"the gradient table has rank {rank}, a tensor and S0 need {UNKNOWNS}: {len(b_values)} volumes, "
            f"{weighted} of them with b > 0 along {different} different directions",
            field="bval/bvec",
        )
    return factored(matrix, b_max)


def factored(matrix: FloatArray, b_max: float) -> Design:
    """Return the coefficients of a fit from its design matrix (volume, k)."""
    q, r = np.linalg.qr(matrix)
    rows, columns = np.tril_indices(matrix.shape[1])
    up = np.linalg.solve(r, np.eye(len(r))).astype(np.float32)
    return Design(_blocked(q), _blocked(q[:, rows] * q[:, columns]), up, r.astype(np.float32), b_max)


def design_matrix(b_values: FloatArray, b_vectors: FloatArray) -> FloatArray:
    """Return the (volume, 7) matrix A for the unknowns log S0, D_xx, D_xy, D_xz, D_yy, D_yz, D_zz."""
    x, y, z = b_vectors.T
    terms = np.stack([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z], axis=1)
    return np.concatenate([np.ones((len(b_values), 1)), -b_values[:, None] * terms], axis=1)


def checked_table(
    b_values: Array, b_vectors: Array, b0_threshold: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return b-values and unit directions in float64; raise InputError for a malformed table."""
    b = np.asarray(b_values, dtype=np.float64)
    g = np.asarray(b_vectors, dtype=np.float64)
    if b.ndim != 1 or g.shape != (b.size, 3) or b.size == 0:
        message = f"b-values of shape {b.shape} and directions of shape {g.shape} do not fit (N and N x 3)"
        raise InputError(message, field="bval/bvec")
    if not (np.isfinite(b).all() and np.isfinite(g).all() and b.min() >= 0):
        raise InputError("b-values and directions must be finite, b-values not negative", field="bval/bvec")
    norms = np.linalg.norm(g, axis=1)
    none = norms < NORM_TOLERANCE
    weighted = ~unweighted_volumes(b, b0_threshold or None)
    bad = np.where(none, weighted, np.abs(norms - 1.0) > NORM_TOLERANCE)
    if bad.any():
        v = int(np.flatnonzero(bad)[0])
        message = f"direction {g[v].tolist()} of volume {v + 1} (b = {b[v]:g}) is not a unit vector"
        raise InputError(message, field="bvec")
    return b, np.where(none[:, None], 0.0, g / np.where(none, 1.0, norms)[:, None])


def shells(b_values: FloatArray, b0_threshold: float | None = None) -> list[float]:
    """Return the mean b-value of each shell [s/mm^2], ascending, without volumes that count as b = 0."""
    weighted = ~unweighted_volumes(b_values, b0_threshold)
    groups: list[list[float]] = []
    for b in sorted(np.asarray(b_values, dtype=np.float64)[weighted].tolist()):
        if groups and b - groups[-1][0] <= SHELL_WIDTH * b:
            groups[-1].append(b)
        else:
            groups.append([b])
    return [sum(group) / len(group) for group in groups]


def distinct_directions(b_values: FloatArray, b_vectors: FloatArray) -> int:
    """Return the number of different directions with b > 0; opposite directions count once."""
    directions = b_vectors[b_values > 0]
    if not len(directions):
        return 0
    same = np.abs(directions @ directions.T) > 1.0 - 1e-6
    return int((~np.tril(same, -1).any(axis=1)).sum())


def _blocked(columns: FloatArray) -> Array:
    volumes, count = columns.shape
    blocks = -(-volumes // VOLUME_BLOCK)
    padded = np.zeros((blocks * VOLUME_BLOCK, count))
    padded[:volumes] = columns
    blocked = padded.reshape(blocks, VOLUME_BLOCK, count).transpose(0, 2, 1)
    return np.ascontiguousarray(blocked, dtype=np.float32)
