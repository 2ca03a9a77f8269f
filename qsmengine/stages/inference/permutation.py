r"""Permutation inference for a linear model in every voxel, with family-wise error by the maximum statistic.

Model y = x beta + Z gamma + e with one tested column x and nuisance columns Z (with the constant). Freedman and
Lane (doi:10.1214/aos/1176346000, as in Winkler et al. 2014, doi:10.1016/j.neuroimage.2014.01.060) permute the
residuals of y on Z; with R = 1 - Z Z^+ the statistic of permutation P is::

    t = x' R P R y / sqrt(s2 x' R x),     s2 = (|R P R y|^2 - (x' R P R y)^2 / x' R x) / (n - rank[x Z])

p of a voxel is the fraction of permutations, including the identity, whose largest value reaches the voxel's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.stages.inference.tfce import Neighbourhood, TfceParams, enhance, maxima, neighbourhood
from qsmengine.stages.params import Field

_BATCH_BYTES = 1 << 28


class PermutationParams(TfceParams):
    """Permutations, their seed, and the enhancement."""

    permutations: int = Field(
        default=5000, ge=1, le=1_000_000, description="permutations in addition to the identity"
    )
    two_sided: bool = Field(default=True, description="test both signs; false: only values above 0")
    seed: int = Field(default=0, ge=0, description="seed of the permutations")


@dataclass(frozen=True)
class PermutationResult:
    """Maps (x, y, z) float32 on the host, 0 outside the mask (p: 1).

    Parameters
    ----------
    t
        Statistic [1].
    tfce
        Enhanced statistic, signed.
    p_tfce, p_t
        Family-wise error of the enhanced and of the unenhanced statistic [1].
    null_tfce, null_t
        Largest value of each permutation, the identity first.
    df
        Residual degrees of freedom.
    """

    t: Array
    tfce: Array
    p_tfce: Array
    p_t: Array
    null_tfce: npt.NDArray[np.float32]
    null_t: npt.NDArray[np.float32]
    df: int


def permutation_test(
    maps: Array,
    mask: Array,
    tested: npt.NDArray[np.float64],
    nuisance: npt.NDArray[np.float64],
    params: PermutationParams,
    *,
    device: Device,
    progress: Callable[[float], None] | None = None,
) -> PermutationResult:
    """Test one column of a design in every voxel of a mask.

    Parameters
    ----------
    maps
        (subject, voxel) float32: the voxels of the mask in C order.
    mask
        (x, y, z).
    tested
        (subject,) column of the design: a group's indicator, a disease duration.
    nuisance
        (subject, k) other columns; a constant is added.
    params
        Permutations, sides, seed, exponents.
    device
        Device of the statistics; the enhancement runs on threads of the host.
    progress
        Called with the completed fraction.

    Raises
    ------
    InputError
        For mismatched sizes, non-finite values, a tested column that is determined by the nuisance columns,
        or too few subjects.
    """
    inside = to_numpy(mask) != 0
    n, n_voxels = maps.shape
    if n_voxels != int(inside.sum()):
        raise InputError(f"maps have {n_voxels} voxels, the mask {int(inside.sum())}", field="maps")
    design = _Design.of(n, tested, nuisance)
    around = neighbourhood(mask, params.connectivity)
    data = device.asarray(maps)
    if not bool(device.xp.isfinite(data).all()):
        raise InputError("not all values inside the mask are finite", field="maps")
    residuals, squares = design.residuals(data, device)
    t = design.statistics(np.arange(n)[np.newaxis], residuals, squares, device)
    observed = enhance(t, around, params, device.threads)[0]
    null_t, null = _null(design, residuals, squares, around, params, device, progress)

    def volume(values: Array, outside: float = 0.0) -> Array:
        full = np.full(inside.shape, outside, np.float32)
        full[inside] = values
        return full

    first_t, first = _largest(t, params), _sided(maxima(t, around, params, 1), params)
    null_t, null = np.concatenate([first_t, null_t]), np.concatenate([first, null])
    sized, sized_t = (np.abs(v) if params.two_sided else v for v in (observed, t[0]))
    return PermutationResult(
        t=volume(t[0]),
        tfce=volume(observed),
        p_tfce=volume(_p_values(sized, null), 1.0),
        p_t=volume(_p_values(sized_t, null_t), 1.0),
        null_tfce=null,
        null_t=null_t,
        df=design.df,
    )


@dataclass(frozen=True)
class _Design:
    """Orthonormal columns: first the tested column orthogonal to the nuisance columns, then these."""

    columns: npt.NDArray[np.float64]
    df: int

    @classmethod
    def of(cls, n: int, tested: npt.NDArray[np.float64], nuisance: npt.NDArray[np.float64]) -> _Design:
        if tested.shape != (n,) or nuisance.ndim != 2 or len(nuisance) != n:
            raise InputError(f"design of {tested.shape} and {nuisance.shape} for {n} maps", field="design")
        if not (np.isfinite(tested).all() and np.isfinite(nuisance).all()):
            raise InputError("not all values are finite", field="design")
        others = np.column_stack([np.ones(n), nuisance])
        others = others / np.maximum(np.linalg.norm(others, axis=0), 1e-300)
        left, values, _ = np.linalg.svd(others, full_matrices=False)
        basis = left[:, values > 1e-10 * values[0]]
        x = tested - basis @ (basis.T @ tested)
        if np.linalg.norm(x) <= 1e-8 * np.linalg.norm(tested):
            raise InputError("the tested column is constant or determined by the others", field="design")
        df = n - basis.shape[1] - 1
        if df < 2:
            raise InputError(f"{n} maps are too few for {basis.shape[1] + 1} columns", field="design")
        return cls(np.column_stack([x / np.linalg.norm(x), basis]), df)

    def residuals(self, data: Array, device: Device) -> tuple[Array, Array]:
        """Return the residuals on the nuisance columns (subject, voxel) and their sums of squares."""
        basis = device.asarray(self.columns[:, 1:])
        centred = data - data.mean(axis=0)
        rest = centred - basis @ (basis.T @ centred)
        squares = (rest * rest).sum(axis=0, dtype=np.float64).astype(np.float32)
        return rest, squares

    def statistics(self, orders: npt.NDArray[np.int64], rest: Array, squares: Array, device: Device) -> Array:
        """Return Student's t, (permutation, voxel) float32 on the host.

        Permuting the rows of the residuals by P before projection is equivalent to permuting the columns by P'.
        t is 0 without residual variance (a constant voxel).
        """
        xp = device.xp
        count, k = len(orders), self.columns.shape[1]
        permuted = np.empty((count, k, orders.shape[1]))
        for i, order in enumerate(orders):
            permuted[i][:, order] = self.columns.T
        projected = device.asarray(permuted.reshape(count * k, -1)) @ rest
        projected = projected.reshape(count, k, -1)
        top = projected[:, 0]
        left = squares - (projected * projected).sum(axis=1)
        floor = 1e-6 * squares
        scale = xp.sqrt(self.df / xp.maximum(left, xp.maximum(floor, np.float32(1e-37))))
        t = xp.where(squares > 0, top * scale, np.float32(0))
        return np.ascontiguousarray(to_numpy(t), dtype=np.float32)


def _null(
    design: _Design,
    rest: Array,
    squares: Array,
    around: Neighbourhood,
    params: PermutationParams,
    device: Device,
    progress: Callable[[float], None] | None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the largest t and the largest enhanced value of each permutation."""
    rng = np.random.default_rng(params.seed)
    n, n_voxels = rest.shape
    k = design.columns.shape[1]
    batch = max(1, min(64, params.permutations, _BATCH_BYTES // (4 * n_voxels * (k + 2))))
    if batch > device.threads:
        batch -= batch % device.threads
    largest_t, largest = [], []
    for start in range(0, params.permutations, batch):
        count = min(batch, params.permutations - start)
        orders = np.array([rng.permutation(n) for _ in range(count)])
        t = design.statistics(orders, rest, squares, device)
        largest_t.append(_largest(t, params))
        largest.append(_sided(maxima(t, around, params, device.threads), params))
        if progress is not None:
            progress((start + count) / params.permutations)
    return np.concatenate(largest_t), np.concatenate(largest)


def _largest(t: Array, params: PermutationParams) -> npt.NDArray[np.float32]:
    return np.asarray(np.maximum(t.max(axis=1), -t.min(axis=1) if params.two_sided else 0.0), np.float32)


def _sided(found: Array, params: PermutationParams) -> npt.NDArray[np.float32]:
    return np.asarray(found.max(axis=1) if params.two_sided else found[:, 0], np.float32)


def _p_values(values: Array, null: npt.NDArray[np.float32]) -> Array:
    """Return the fraction of `null` that is at least each value."""
    ordered = np.sort(null)
    reached: Array = len(null) - np.searchsorted(ordered, values, side="left")
    return reached / len(null)
