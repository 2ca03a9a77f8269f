"""Residuals of the slices of each volume: measured against fitted signal.

A fit by least squares follows lost slices: part of the loss becomes a residual of the other volumes. The
logarithm of measured over fitted signal of each slice is therefore fitted again, by the terms of the model and
robustly (Tukey's bisquare after Huber's weights): what is left is the deviation from a fit without the lost
volumes. Volumes that any fit follows almost entirely, such as a single b = 0, are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import Array, DwiSeries
from qsmengine.grid import FloatArray
from qsmengine.stages.diffusion.design import design_matrix
from qsmengine.stages.diffusion.predicted import WATER, predicted_signal
from qsmengine.stages.diffusion.slices import LEAST_VOXELS

SAMPLES = 400
"""Number of voxels of a slice, within a factor of two, that are compared."""
TISSUE = 0.8e-3
"""Diffusivity [mm^2/s] of the signals by which a weighted fit is assumed to weigh the volumes."""
LEAST_FREE = 0.2
"""Smallest 1 - h of a volume that is judged."""
HUBER, BISQUARE = 1.345, 4.685
"""Constants of the robust weights, for an efficiency of 95 % with normal residuals."""
STEPS = 20
"""Number of weighted fits, half of them with Huber's weights."""
NORMAL = 1.4826
"""Standard deviation of normal values over their median absolute deviation."""


class FitKind(NamedTuple):
    """Fit that residuals are of.

    `weighted`: whether it weighs the measurements by their signal; `kurtosis`: whether it has terms of
    kurtosis; `b0_threshold`: b-values up to it [s/mm^2] were fitted as 0; `water_diffusivity` [mm^2/s] of free
    water.
    """

    weighted: bool = True
    kurtosis: bool = False
    b0_threshold: float = 0.0
    water_diffusivity: float = WATER

    def b_values(self, given: FloatArray) -> FloatArray:
        """Return the b-values (volume,) [s/mm^2] as they were fitted."""
        return np.where(given <= self.b0_threshold, 0.0, given)

    def weights(self, b_values: FloatArray) -> FloatArray:
        """Return the relative weights (volume,) of log signals, roughly: the signal of tissue, or 1."""
        return np.exp(-b_values * TISSUE) if self.weighted else np.ones(len(b_values))


class SliceResiduals(NamedTuple):
    """Residuals (volume, slice) of slices; NaN where they are unknown.

    `apart` is log(mean S / mean S_fit) [1]. `residual` is median |S - S_fit| / (median S_fit sqrt(1 - h)) [1]
    with the leverage h of the volume.
    """

    apart: FloatArray
    residual: FloatArray


def slice_residuals(
    series: DwiSeries, maps: Mapping[str, Array], kind: FitKind, gradient_deviation: Array | None = None
) -> SliceResiduals:
    """Compare the slices (along z) of each volume with the fitted signal.

    Slices with fewer than 50 fitted voxels are left out; of others up to 800 evenly spaced voxels are compared.

    Parameters
    ----------
    series
        Signal (x, y, z, volume) and its table.
    maps
        Maps of the fit for :func:`qsmengine.stages.diffusion.predicted.predicted_signal`; ``s0`` is 0 where
        nothing was fitted.
    kind
        The fit.
    gradient_deviation
        (x, y, z, 9) that the maps were corrected for, see
        :func:`qsmengine.stages.diffusion.fitting.correct_deviation`.
    """
    b = kind.b_values(series.b_values)
    apart, residual = found = unknown_residuals(len(b), series.grid.shape[2])
    place, judged, starts = _sampled(to_numpy(maps["s0"]) > 0)
    if not judged.size:
        return found
    model = {
        name: to_numpy(_taken(maps[name], place)).astype(np.float32, copy=False)
        for name in ("s0", "tensor", "md", "kurtosis_tensor", "free_water")
        if name in maps
    }
    if gradient_deviation is not None:
        model["tensor"] = _nominal(model["tensor"], to_numpy(_taken(gradient_deviation, place)))
    expected = predicted_signal(model, b, series.b_vectors, kind.water_diffusivity)
    signal = to_numpy(_taken(series.signal, place)).astype(np.float32, copy=False)
    sums = (np.add.reduceat(values, starts, axis=0, dtype=np.float64).T for values in (signal, expected))
    measured, fitted = sums
    apart[:, judged] = np.log(np.maximum(measured / fitted, 1e-6))
    ends = np.append(starts[1:], len(signal))
    distance = np.abs(signal - expected)
    for z, first, end in zip(judged.tolist(), starts.tolist(), ends.tolist(), strict=True):
        residual[:, z] = _middle(distance[first:end]) / _middle(expected[first:end])
    free = 1.0 - leverages(model_terms(b, series.b_vectors, kurtosis=kind.kurtosis), kind.weights(b))
    residual /= np.sqrt(np.where(free < LEAST_FREE, np.nan, free))[:, None]
    return found


def refitted(
    found: SliceResiduals, b_values: FloatArray, b_vectors: FloatArray, kind: FitKind
) -> SliceResiduals:
    """Return residuals whose `apart` is what a robust fit leaves; NaN in volumes that any fit follows."""
    b = kind.b_values(b_values)
    terms, rows = model_terms(b, b_vectors, kurtosis=kind.kurtosis), kind.weights(b)
    known = np.isfinite(found.apart).all(axis=0)
    apart = np.full(found.apart.shape, np.nan)
    if known.any():
        apart[:, known] = robust_rest(found.apart[:, known], terms, rows)
    apart[1.0 - leverages(terms, rows) < LEAST_FREE] = np.nan
    return found._replace(apart=apart)


def unknown_residuals(volumes: int, slices: int) -> SliceResiduals:
    """Return residuals that are all unknown."""
    return SliceResiduals(np.full((volumes, slices), np.nan), np.full((volumes, slices), np.nan))


def model_terms(b_values: FloatArray, b_vectors: FloatArray, *, kurtosis: bool = False) -> FloatArray:
    """Return the terms (volume, 7) of the logarithm of the signal, or (volume, 22) with kurtosis."""
    scaled = b_values / (float(b_values.max()) or 1.0)
    terms = design_matrix(scaled, b_vectors)
    if not kurtosis:
        return terms
    from qsmengine.stages.diffusion.kurtosis import quartic_terms

    return np.concatenate([terms, scaled[:, None] ** 2 * quartic_terms(b_vectors)], axis=1)


def leverages(terms: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the diagonal (volume,) of the hat matrix of a fit of `terms` (volume, k) weighted by `rows`^2."""
    q = np.linalg.qr(rows[:, None] * terms)[0]
    return np.asarray((q**2).sum(axis=1))


def robust_rest(logs: FloatArray, terms: FloatArray, rows: FloatArray) -> FloatArray:
    """Return what a robust fit of `terms` leaves of `logs` (volume, slice), for each slice.

    The scale of the residuals is 1.4826 times their median in the slice, over sqrt(1 - k / volumes) for the k
    terms, and at least that of all slices.
    """
    scaled = rows[:, None] * logs
    q = np.linalg.qr(rows[:, None] * terms)[0]
    products = (q[:, :, None] * q[:, None, :]).reshape(len(q), -1)
    share = max(1.0 - q.shape[1] / len(logs), 1.0 / len(logs))
    rest = scaled - q @ (q.T @ scaled)
    for number in range(STEPS):
        size = np.abs(rest)
        scale = NORMAL * np.maximum(np.median(size, axis=0), np.median(size)) / np.sqrt(share) + 1e-9
        far = size / scale
        if number < STEPS // 2:
            weight = HUBER / np.maximum(far, HUBER)
        else:
            weight = np.maximum(1.0 - (far / BISQUARE) ** 2, 1e-4) ** 2
        normal = (weight.T @ products).reshape(-1, q.shape[1], q.shape[1])
        right = (weight * scaled).T @ q
        rest = scaled - q @ np.linalg.solve(normal, right[..., None])[..., 0].T
    return np.asarray(rest / rows[:, None])


def _sampled(
    mask: npt.NDArray[np.bool_],
) -> tuple[tuple[npt.NDArray[np.intp], ...], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return places (x, y, z) of voxels ordered by slice, the slices, and the first voxel of each."""
    z, y, x = np.nonzero(mask.T)
    counts = np.bincount(z, minlength=mask.shape[2])
    number = np.arange(z.size) - (np.cumsum(counts) - counts)[z]
    kept = (counts[z] >= LEAST_VOXELS) & (number % np.maximum(counts // SAMPLES, 1)[z] == 0)
    judged, starts = np.unique(z[kept], return_index=True)
    return (x[kept], y[kept], z[kept]), judged, starts


def _middle(values: Array) -> Array:
    """Return the upper median (volume,) of (voxel, volume); one selection takes a third of np.median's time."""
    half = len(values) // 2
    chosen: Array = np.partition(values, half, axis=0)[half]
    return chosen


def _taken(image: Array, place: tuple[npt.NDArray[np.intp], ...]) -> Array:
    """Return the values (voxel[, component]) of an image at some places."""
    xp = array_module(image)
    found: Array = image[tuple(xp.asarray(axis) for axis in place)]
    return found


def _nominal(tensor: Array, deviation: Array) -> Array:
    """Return the tensor (voxel, 6) that the nominal table sees, (I + L)' D (I + L); L is (voxel, 9)."""
    places = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
    rows, columns = np.triu_indices(3)
    actual = np.eye(3) + deviation.reshape(-1, 3, 3).transpose(0, 2, 1)
    seen: Array = actual.transpose(0, 2, 1) @ tensor[:, places] @ actual
    return seen[:, rows, columns].astype(np.float32)
