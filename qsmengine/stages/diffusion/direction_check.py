"""Check of the order of the gradient table against the image.

Neighbouring voxels share fibres, and so the dependence of their signal on the direction. If table and volumes
belong together, a tensor describes most of what they share; if they are in different orders it describes none
of it, although every fit converges. Let y (volume,) be the log signal less the mean of its shell, and r what
is left of y after a linear fit of a tensor. With sums over pairs i, j of voxels two apart, whose noise is
unrelated,

    explained = 1 - sum(r_i . r_j) / sum(y_i . y_j) * n / (n - k)

where n is the number of weighted volumes less that of shells, and k the rank of the fit. Real heads have 0.61
to 0.96, and -0.2 to 0.3 with their directions shuffled. The check of axes
(:mod:`qsmengine.stages.diffusion.gradient_check`) needs a right order.

Voxels of `LINES` lines along the first axis are looked at, spread over the object.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array, DwiSeries
from qsmengine.grid import FloatArray
from qsmengine.stages.diffusion.slices import same_b

LINES = 36
"""Number of lines of voxels."""
APART = 2
"""Distance of the voxels of a pair."""
MIN_PAIRS = 500
"""Number of pairs needed for a conclusion."""
MIN_FREE = 4
"""Number of directions beyond those that a tensor always describes needed for a conclusion."""
MIN_SHARED = 0.05
"""Correlation of y_i and y_j from which the image shows fibres and not noise alone."""
EXPLAINED = 0.5
"""Explained share below which table and volumes do not belong together, or the head moved."""


class DirectionCheck(NamedTuple):
    """Share of the dependence on direction common to neighbours that a tensor explains.

    Parameters
    ----------
    explained
        Share [1]; about 0 if volumes and directions are in different orders.
    shared
        Correlation of the log signals of neighbours over the directions.
    pairs
        Number of pairs of voxels.
    free
        Number of directions beyond those that a tensor always describes.
    """

    explained: float
    shared: float
    pairs: int
    free: int

    @property
    def decidable(self) -> bool:
        """Whether the image shows fibres, in directions enough."""
        return self.pairs >= MIN_PAIRS and self.free >= MIN_FREE and self.shared >= MIN_SHARED

    @property
    def doubtful(self) -> bool:
        """Whether the table contradicts the image."""
        return self.decidable and self.explained < EXPLAINED


def check_directions(series: DwiSeries, fitted: Array) -> DirectionCheck:
    """Return how well a tensor explains the dependence on direction that neighbouring voxels share.

    Parameters
    ----------
    series
        Signal (x, y, z, volume) with its table.
    fitted
        (x, y, z) voxels with a fit.
    """
    weighted = np.flatnonzero(~series.b0_volumes)
    b, directions = series.b_values[weighted], series.b_vectors[weighted]
    shells = same_b(b, np.zeros(len(b), dtype=np.bool_))
    basis = _basis(b, directions, shells)
    count = len(b) - len(shells)
    signal, inside = _lines(series, to_numpy(fitted) > 0, weighted)
    inside &= (signal > 0).all(axis=0)
    pair = inside[:-APART] & inside[APART:]
    near, far = (_centred(np.log(signal[:, part][:, pair]), shells) for part in (np.s_[:-APART], np.s_[APART:]))
    shared, power = float((near * far).sum()), float((near**2).sum() + (far**2).sum()) / 2
    pairs, free = int(pair.sum()), count - basis.shape[1]
    if not shared > 0:
        return DirectionCheck(0.0, 0.0, pairs, free)
    left = shared - float(((basis.T @ near) * (basis.T @ far)).sum())
    return DirectionCheck(1.0 - left / shared * count / max(free, 1), shared / power, pairs, free)


def _centred(values: Array, shells: list[npt.NDArray[np.intp]]) -> FloatArray:
    """Return values (volume, ...) less the mean of their shell."""
    centred = np.empty(values.shape)
    for shell in shells:
        centred[shell] = values[shell] - values[shell].mean(axis=0, dtype=np.float64)
    return centred


def _basis(b: FloatArray, directions: FloatArray, shells: list[npt.NDArray[np.intp]]) -> FloatArray:
    """Return an orthonormal basis (volume, rank) of what tensors can describe."""
    x, y, z = directions.T
    design = b[:, None] * np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    left, size, _ = np.linalg.svd(_centred(design, shells), full_matrices=False)
    return np.asarray(left[:, size > 1e-6 * max(float(size.max()), 1e-30)])


def _lines(
    series: DwiSeries, fitted: npt.NDArray[np.bool_], weighted: npt.NDArray[np.intp]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the signal (volume, x, line) and the fitted voxels (x, line) of lines spread over the object."""
    y, z = np.nonzero(fitted.sum(axis=0) > APART)
    chosen = np.unique(np.linspace(0, len(y) - 1, LINES).astype(int)) if len(y) else np.empty(0, int)
    y, z = y[chosen], z[chosen]
    lines = [to_numpy(series.signal[..., volume][:, y, z]) for volume in weighted]
    return np.stack(lines), fitted[:, y, z]
