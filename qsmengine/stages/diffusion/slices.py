"""Detection of slices with signal loss, by comparison with neighbours and other volumes; a mask from b = 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.data import SHELL_WIDTH, DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray
from qsmengine.stages.params import Field, Params

LEAST_VOXELS = 50
"""Smallest number of voxels in the mask for a slice to be tested."""
LEAST_VOLUMES = 3
"""Smallest number of volumes of about the same b-value to be tested."""
FLANKS = (-2, -1, 1, 2)
"""Number of neighbours whose median a slice is compared with."""


class SliceParams(Params):
    """Parameters of the detection of slices with signal loss."""

    threshold: float = Field(
        4.0, gt=0, description="standard deviations by which a slice must be below the others"
    )
    least_loss: float = Field(0.1, ge=0, lt=1, description="fraction of the signal that must be lost")


class SliceResult(NamedTuple):
    """`outlier` (volume, slice), and `score`: deviation of a slice in standard deviations [1]; NaN: unknown."""

    outlier: npt.NDArray[np.bool_]
    score: FloatArray


def outlier_slices(series: DwiSeries, mask: npt.NDArray[np.bool_], params: SliceParams) -> SliceResult:
    """Detect slices (along z) that lost part of their mean signal by :func:`judge_slices`, without a model."""
    counts = mask.sum(axis=(0, 1))
    judged = np.flatnonzero(counts >= LEAST_VOXELS)
    logs = np.full((len(series.b_values), len(counts)), np.nan)
    if judged.size:
        means = np.stack([_slice_means(series.signal[..., v], mask) for v in range(len(logs))])[:, judged]
        logs[:, judged] = np.log(np.maximum(means, 1e-6 * means.max()))
    return judge_slices(logs, same_b(series.b_values, series.b0_volumes), params)


def judge_slices(logs: FloatArray, groups: Sequence[npt.NDArray[np.intp]], params: SliceParams) -> SliceResult:
    """Detect slices with signal loss.

    r(v, z) is the logarithm of the signal minus its median over the volumes of a group, minus the median of
    this difference over neighbouring slices (two on either side): motion and the gradient direction change it
    smoothly along z, a signal loss does not. Its standard deviation is 1.4826 times the median of |r| in those
    volumes, of the slice or of all slices, whichever is larger. A slice is lost where r < -threshold standard
    deviations and r < log(1 - least_loss).

    Parameters
    ----------
    logs
        (volume, slice) logarithm of the mean signal, or of its ratio to a fitted one [1]; NaN where unknown.
    groups
        Indices of volumes of about the same b-value; groups with fewer than three known volumes, and those with
        fewer than five known slices, are not tested.
    """
    score = np.full(logs.shape, np.nan)
    outlier = np.zeros(score.shape, dtype=np.bool_)
    known = np.isfinite(logs)
    for group in groups:
        members = group[known[group].any(axis=1)]
        judged = np.flatnonzero(known[members].all(axis=0))
        if len(members) < LEAST_VOLUMES or len(judged) < len(FLANKS) + 1:
            continue
        values = logs[np.ix_(members, judged)]
        values -= np.median(values, axis=0)
        padded = np.pad(values, ((0, 0), (2, 2)), mode="reflect")
        around = [padded[:, 2 + step : 2 + step + values.shape[1]] for step in FLANKS]
        rest = values - np.median(around, axis=0)
        size = np.abs(rest)
        spread = 1.4826 * np.maximum(np.median(size), np.median(size, axis=0)) + 1e-6
        found = (rest < -params.threshold * spread) & (rest < np.log(1 - params.least_loss))
        score[np.ix_(members, judged)], outlier[np.ix_(members, judged)] = rest / spread, found
    return SliceResult(outlier, score)


def same_b(b_values: FloatArray, unweighted: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Return the indices of the volumes of each shell, the `unweighted` ones first."""
    b = np.where(unweighted, 0.0, b_values)
    groups: list[list[int]] = []
    for v in np.argsort(b, kind="stable").tolist():
        if groups and b[v] - b[groups[-1][0]] <= SHELL_WIDTH * b[v]:
            groups[-1].append(v)
        else:
            groups.append([v])
    return [np.array(sorted(group), dtype=np.intp) for group in groups]


def b0_mask(series: DwiSeries) -> npt.NDArray[np.bool_]:
    """Return the head (x, y, z): mean b = 0 above half of Otsu's threshold, largest component, holes filled."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    unweighted = series.signal[..., np.flatnonzero(series.b0_volumes)]
    if not unweighted.shape[3]:
        raise InputError("no volume counts as b = 0: a mask cannot be made; give one", field="bval")
    mean = np.asarray(unweighted.mean(axis=3, dtype=np.float64))
    counts, edges = np.histogram(mean, 256, (0.0, max(float(np.percentile(mean, 99.5)), 1e-30)))
    centres, below = (edges[1:] + edges[:-1]) / 2, np.cumsum(counts)
    moment, above = np.cumsum(counts * centres), below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / below[-1] - moment) ** 2 / (below * above)
    threshold = 0.5 * centres[int(np.nanargmax(np.where(above > 0, between, 0)))]
    parts, found = label(binary_opening(mean > threshold))
    if found == 0:
        raise InputError("no head found in the b = 0 volumes", field="signal")
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    return np.asarray(binary_fill_holes(largest), dtype=np.bool_)


def _slice_means(volume: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> FloatArray:
    sums = np.where(mask, volume, 0).sum(axis=(0, 1), dtype=np.float64)
    return np.asarray(sums / np.maximum(mask.sum(axis=(0, 1)), 1))
