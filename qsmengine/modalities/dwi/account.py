"""Account of the volumes of a fit: lost slices, residuals and shifts, and their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array, DwiSeries, unweighted_volumes
from qsmengine.grid import FloatArray
from qsmengine.io.dwi import DwiFile
from qsmengine.modalities.shifts import volume_translations
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.stages.diffusion.predicted import WATER
from qsmengine.stages.diffusion.slice_residuals import FitKind, SliceResiduals, refitted, slice_residuals
from qsmengine.stages.diffusion.slices import (
    LEAST_VOLUMES,
    SliceParams,
    SliceResult,
    judge_slices,
    same_b,
)

UNWEIGHTED = "ols"
"""Method whose fit does not weigh the measurements."""
MISSING = "n/a"


@record
class Account:
    """Findings about the volumes and slices of a fitted series.

    Parameters
    ----------
    b_values, b_vectors, unweighted
        (volume,) [s/mm^2], (volume, 3), and which volumes count as b = 0.
    slices
        Residuals of the slices.
    shifts
        (volume,) translation [mm] from the median image of volumes of the same b-value; NaN where unknown.
    """

    b_values: FloatArray
    b_vectors: FloatArray
    unweighted: npt.NDArray[np.bool_]
    slices: SliceResiduals
    shifts: FloatArray

    @cached_property
    def groups(self) -> list[npt.NDArray[np.intp]]:
        """Indices of volumes of about the same b-value."""
        return same_b(self.b_values, self.unweighted)

    @cached_property
    def found(self) -> SliceResult:
        """Slices that lost signal."""
        return judge_slices(self.slices.apart, self.groups, SliceParams())

    @property
    def judged(self) -> npt.NDArray[np.intp]:
        """Number of judged slices (volume,)."""
        return np.asarray(np.isfinite(self.found.score).sum(axis=1), dtype=np.intp)

    @property
    def lost(self) -> npt.NDArray[np.intp]:
        """Number of lost slices (volume,)."""
        return np.asarray(self.found.outlier.sum(axis=1), dtype=np.intp)

    def losses(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return how many slices were judged and lost, and which of the volumes, called `numbers`, lost any."""
        volumes = [number for number, lost in zip(numbers, self.lost, strict=True) if lost]
        return {"Judged": int(self.judged.sum()), "Lost": int(self.lost.sum()), "Volumes": volumes}

    @property
    def residual(self) -> FloatArray:
        """Median residual of the slices (volume,) [1]; NaN where unknown."""
        return _medians(self.slices.residual)

    @property
    def change(self) -> FloatArray:
        """Median of S / S_fit - 1 of the slices (volume,) [1]; NaN where unknown."""
        return np.expm1(_medians(self.slices.apart))

    @property
    def relative_residual(self) -> FloatArray:
        """Residual (volume,) over the median of volumes of about the same b-value [1]; NaN where unknown."""
        residual, relative = self.residual, np.full(len(self.b_values), np.nan)
        for group in self.groups:
            members = group[np.isfinite(residual[group])]
            if len(members) >= LEAST_VOLUMES and (middle := float(np.median(residual[members]))) > 0:
                relative[members] = residual[members] / middle
        return relative


def _medians(values: FloatArray) -> FloatArray:
    """Return the medians (volume,) of the known values (volume, slice); NaN without any."""
    columns = np.isfinite(values).any(axis=0)
    if not columns.any():
        return np.full(len(values), np.nan)
    return np.asarray(np.median(values[:, columns], axis=1))


def account_of(result: RunResult, series: DwiSeries, gradient_deviation: Array | None = None) -> Account:
    """Return the account of a fitted series."""
    slices = fit_residuals(result, series, gradient_deviation)
    slices = refitted(slices, series.b_values, series.b_vectors, kind_of(result))
    groups = same_b(series.b_values, series.b0_volumes)
    shifts = volume_translations(series.signal, series.grid.voxel_size, groups)
    return Account(series.b_values, series.b_vectors, series.b0_volumes, slices, shifts)


def account_of_slabs(
    result: RunResult, file: DwiFile, volumes: npt.NDArray[np.intp], residuals: SliceResiduals
) -> Account:
    """Return the account of `volumes` of a series fitted in slabs, whose shifts are unknown."""
    b, g, unknown = file.b_values[volumes], file.b_vectors[volumes], np.full(len(volumes), np.nan)
    slices = refitted(residuals, b, g, kind_of(result))
    return Account(b, g, unweighted_volumes(b, file.b0_threshold), slices, unknown)


def fit_residuals(
    result: RunResult, series: DwiSeries, gradient_deviation: Array | None = None
) -> SliceResiduals:
    """Return the residuals of the slices of a series, or of a slab, from the maps of its fit."""
    return slice_residuals(series, result.maps, kind_of(result), gradient_deviation)


def kind_of(result: RunResult) -> FitKind:
    """Return what the residuals of a fit depend on."""
    step = result.records[-1].step
    return FitKind(
        weighted=step.method.name != UNWEIGHTED,
        kurtosis="kurtosis_tensor" in result.maps,
        b0_threshold=float(getattr(step.params, "b0_threshold", 0.0)),
        water_diffusivity=float(getattr(step.params, "water_diffusivity", WATER)),
    )


def account_texts(
    files: Sequence[Path], account: Account, numbers: Iterable[int]
) -> dict[Path, str | Mapping[str, Any]]:
    """Return the content of the tables of volumes and slices and of their dictionaries.

    `files`: :func:`qsmengine.modalities.dwi.maps.account_paths`; `numbers`: places of the volumes in the file,
    from 1.
    """
    numbers = list(numbers)
    volumes, volumes_dictionary, slices, slices_dictionary = files
    return {
        volumes: _volume_table(account, numbers),
        volumes_dictionary: VOLUME_COLUMNS,
        slices: _slice_table(account, numbers),
        slices_dictionary: SLICE_COLUMNS,
    }


def _volume_table(account: Account, numbers: Sequence[int]) -> str:
    judged, lost = account.judged, account.lost
    share = np.divide(100.0 * lost, judged, out=np.full(len(numbers), np.nan), where=judged > 0)
    columns = (
        numbers, account.b_values, *account.b_vectors.T, judged, lost, share, 100.0 * account.change,
        100.0 * account.residual, account.relative_residual, account.shifts,
    )  # fmt: skip
    form = "%d\t%g\t%.6f\t%.6f\t%.6f\t%d\t%d" + "\t%.4g" * 5
    return _table(VOLUME_COLUMNS, form, columns)


def _slice_table(account: Account, numbers: Sequence[int]) -> str:
    change = 100.0 * np.expm1(account.slices.apart)
    place = v, z = np.nonzero(np.isfinite(change))
    outlier, score = account.found
    lost = np.where(np.isfinite(score), outlier, np.nan)
    measured = (change, 100.0 * account.slices.residual, score, lost)
    columns = (np.asarray(numbers)[v], z + 1, *(values[place] for values in measured))
    return _table(SLICE_COLUMNS, "%d\t%d\t%.4g\t%.4g\t%.4g\t%g", columns)


def _table(names: Iterable[str], form: str, columns: Sequence[Any]) -> str:
    """Return a table of columns of numbers in a format for its rows; NaN as n/a."""
    rows = "\n".join(map(form.__mod__, zip(*columns, strict=True))).replace("nan", MISSING)
    return "\t".join(names) + f"\n{rows}\n"


_PARAMS = SliceParams()
_LOST = (
    f"more than {_PARAMS.threshold:g} standard deviations and {100 * _PARAMS.least_loss:g} % below the fitted "
    "signal, relative to the two slices on either side"
)
_CHANGE = (
    "Mean signal over the fitted one, minus 1, in up to 800 voxels of the slice, corrected for the leverage of "
    "the volume in the fit"
)
_RESIDUAL = "Median absolute deviation of a voxel from the fitted signal, over the median fitted signal"
_NUMBER = {"Description": "Place of the volume in the file, from 1"}
VOLUME_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "volume": _NUMBER,
    "b_value": {"Description": "b-value", "Units": "s/mm^2"},
    "g_x": {"Description": "Gradient direction as in the table of directions, x", "Units": "1"},
    "g_y": {"Description": "Gradient direction, y", "Units": "1"},
    "g_z": {"Description": "Gradient direction, z", "Units": "1"},
    "judged_slices": {"Description": "Number of slices that were judged", "Units": "1"},
    "lost_slices": {"Description": f"Number of slices that lost signal: {_LOST}", "Units": "1"},
    "lost_share": {"Description": "Share of the judged slices that lost signal", "Units": "%"},
    "signal_change": {"Description": f"Median over slices. {_CHANGE}", "Units": "%"},
    "residual": {"Description": f"Median over slices. {_RESIDUAL}", "Units": "%"},
    "relative_residual": {
        "Description": "Residual over the median residual of volumes of about the same b-value",
        "Units": "1",
    },
    "shift": {
        "Description": "Translation from the median image of volumes of about the same b-value, by phase "
        "correlation; no registration: rotations count only as far as they translate the head, and eddy "
        "currents shift volumes like motion",
        "Units": "mm",
    },
}
"""Columns of the table of volumes."""
SLICE_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "volume": _NUMBER,
    "slice": {"Description": "Slice along the third axis of the image, from 1"},
    "signal_change": {"Description": _CHANGE, "Units": "%"},
    "residual": {"Description": _RESIDUAL, "Units": "%"},
    "score": {
        "Description": "Logarithm of the signal over the fitted one, minus its median over the two slices on "
        "either side, in standard deviations of volumes of about the same b-value",
        "Units": "1",
    },
    "lost": {"Description": f"1: the slice lost signal, {_LOST}; 0: it did not; n/a: not judged", "Units": "1"},
}
"""Columns of the table of slices."""
