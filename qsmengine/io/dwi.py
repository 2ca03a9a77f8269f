"""Diffusion-weighted series from an image and its gradient table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import B0_THRESHOLD, Array, DwiSeries, unweighted_volumes
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.io._clean import clear_unknown
from qsmengine.io._lengths import measured_attenuation, scale_by_length
from qsmengine.io.gradients import clean_b_vectors, isotropic_volumes, read_b_values, read_b_vectors
from qsmengine.io.header import ImageHeader, read_header
from qsmengine.io.inheritance import Folders, find_inherited
from qsmengine.io.nifti import read_image
from qsmengine.records import record

_ANY = np.array([1.0, 0.0, 0.0])
"""Placeholder direction of an excluded volume, so that the checks of the table ignore it."""


@record
class DwiLoaded:
    """Series, decisions made while loading it, and its source files."""

    series: DwiSeries
    notes: list[str]
    sources: tuple[Path, ...]


@record
class DwiFile:
    """Series on disk: header, grid and checked table; the voxels are not read.

    `b_values` (volume,) [s/mm^2]; `b_vectors` (volume, 3) in FSL's frame; `volumes` the indices of those that
    can be fitted; `b0_threshold` [s/mm^2] as in :class:`qsmengine.data.DwiSeries`; `notes` decisions.
    """

    path: Path
    header: ImageHeader
    grid: Grid
    b_values: FloatArray
    b_vectors: FloatArray
    notes: tuple[str, ...]
    sources: tuple[Path, ...]
    volumes: npt.NDArray[np.intp]
    b0_threshold: float | None = None

    @property
    def whole_numbers(self) -> bool:
        """Whether the voxels are integers with finite scaling, hence always finite."""
        scaling = [self.header.slope, self.header.intercept]
        return self.header.dtype.kind in "iu" and bool(np.isfinite(scaling).all())

    def series(self, signal: Array, volumes: npt.NDArray[np.intp] | None = None) -> DwiSeries:
        """Return the series of `volumes` (by default all usable ones) from the signal of every volume."""
        grid = self.grid.replace(shape=tuple(signal.shape[:3]))
        whole = DwiSeries(signal, self.b_values, self.b_vectors, grid, self.b0_threshold)
        return whole.select(self.volumes if volumes is None else volumes)


def open_dwi(
    dwi: str | Path,
    bval: str | Path | None = None,
    bvec: str | Path | None = None,
    *,
    b0_threshold: float | None = None,
    exclude: Sequence[int] = (),
    folders: Folders | None = None,
) -> DwiFile:
    """Read header and table of a diffusion series; parameters and errors as in :func:`load_dwi`.

    `folders` caches listings for many images. The voxels are read only if the directions differ in length and
    only the image can show whether the lengths encode the b-value.
    """
    dwi = Path(dwi)
    bval, bvec = (_table(dwi, given, ending, folders) for given, ending in ((bval, ".bval"), (bvec, ".bvec")))
    header, grid = read_header(dwi)
    if len(header.shape) > 4:
        raise InputError(f"has shape {header.shape}; four dimensions are needed", source=dwi, field="dim")
    b_values, notes = read_b_values(bval)
    b_vectors, more = read_b_vectors(bvec)
    count = header.shape[3] if len(header.shape) == 4 else 1
    if not count == len(b_values) == len(b_vectors):
        raise InputError(
            f"{count} volumes, {len(b_values)} b-values in {bval}, {len(b_vectors)} directions in {bvec}",
            source=dwi,
            field="bval/bvec",
        )
    notes = [*(f"{dwi}: {note}" for note in header.notes), *notes, *more]
    used = _usable(b_values, b_vectors, exclude, b0_threshold, dwi, notes)
    weighted = used & ~unweighted_volumes(b_values, b0_threshold) & (np.linalg.norm(b_vectors, axis=1) > 0)
    b_values, b_vectors, more = scale_by_length(
        b_values, b_vectors, weighted, lambda: _attenuation(dwi, count, used & ~weighted), bvec
    )
    notes += more
    kept, cleaned = clean_b_vectors(b_values, np.where(used[:, None], b_vectors, _ANY), bvec, b0_threshold)
    notes += [*cleaned, *_lowest_shell(b_values[used], b0_threshold, bval)]
    vectors = np.where(used[:, None], kept, 0.0)
    return DwiFile(
        dwi,
        header,
        grid,
        b_values,
        vectors,
        tuple(notes),
        (dwi, bval, bvec),
        np.flatnonzero(used),
        b0_threshold,
    )


def load_dwi(
    dwi: str | Path,
    bval: str | Path | None = None,
    bvec: str | Path | None = None,
    *,
    dtype: npt.DTypeLike = np.float32,
    b0_threshold: float | None = None,
    exclude: Sequence[int] = (),
) -> DwiLoaded:
    """Load a diffusion series.

    Parameters
    ----------
    dwi
        4-D image.
    bval, bvec
        Gradient table in FSL's frame; by default the files that apply to the image by BIDS inheritance, or that
        have its name and are next to it.
    dtype
        Type of the signal; the stored integer type avoids any conversion if the header does not scale.
    b0_threshold
        Largest b-value that counts as b = 0 [s/mm^2]; None: :func:`qsmengine.data.unweighted_volumes` decides.
    exclude
        Volumes to exclude, counted from 1. Volumes with b > 0 and the direction 0 0 0 at the end of their shell
        (trace-weighted or isotropic images, which scanners append) are excluded too.

    Returns
    -------
    DwiLoaded
        Signal (x, y, z, volume) in the file's own (Fortran) memory order; b-values [s/mm^2]; b-vectors
        (volume, 3) in FSL's frame, unit or zero.

    Raises
    ------
    InputError
        For a missing table, different numbers of volumes, zero directions at b > 0, no signal, or more than 5 %
        NaN or infinite values; the message names the file.
    """
    file = open_dwi(dwi, bval, bvec, b0_threshold=b0_threshold, exclude=exclude)
    return read_series(file, file.volumes, dtype=dtype)


def read_series(
    file: DwiFile, volumes: npt.NDArray[np.intp], *, dtype: npt.DTypeLike = np.float32, mapped: bool = False
) -> DwiLoaded:
    """Read the voxels of `volumes` of an opened series.

    `mapped` as in :func:`qsmengine.io.nifti.read_image`; errors as in :func:`load_dwi`.
    """
    signal, grid, _ = read_image(file.path, dtype=dtype, mapped=mapped)
    signal = signal.reshape((*grid.shape, len(file.b_values)), order="F")
    notes = list(file.notes)
    if signal.dtype.kind == "f" and not file.whole_numbers:
        _clear_unknown(signal, volumes, file, notes)
    if not any(signal[..., v].any() for v in range(signal.shape[3])):
        raise InputError("every value is 0: no signal", source=file.path)
    return DwiLoaded(file.series(signal, volumes), notes, file.sources)


def _clear_unknown(signal: Array, volumes: npt.NDArray[np.intp], file: DwiFile, notes: list[str]) -> None:
    """Set voxels to 0 that are NaN or infinite in any of `volumes`; in other volumes only those values."""
    others = np.ones(signal.shape[3], dtype=np.bool_)
    others[volumes] = False
    for v in np.flatnonzero(others).tolist():
        np.nan_to_num(signal[..., v], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    clear_unknown([("signal", signal, file.path)], "volume", notes)


def _usable(
    b_values: FloatArray,
    b_vectors: FloatArray,
    exclude: Sequence[int],
    b0_threshold: float | None,
    dwi: Path,
    notes: list[str],
) -> npt.NDArray[np.bool_]:
    """Return a mask (volume,) of the volumes to keep, and add notes on the others."""
    count = len(b_values)
    unknown = [number for number in exclude if not 1 <= number <= count]
    if unknown:
        raise InputError(f"volumes {unknown} cannot be excluded: the series has {count}", source=dwi)
    used = np.ones(count, dtype=np.bool_)
    used[[number - 1 for number in exclude]] = False
    if exclude:
        notes.append(f"{dwi}: volumes excluded on request: {', '.join(map(str, sorted(set(exclude))))}")
    isotropic = used & isotropic_volumes(b_values, b_vectors, b0_threshold)
    if isotropic.any():
        listed = ", ".join(f"{v + 1} (b = {b_values[v]:g})" for v in np.flatnonzero(isotropic))
        notes.append(f"{dwi}: trace-weighted or isotropic volumes excluded (direction 0 at b > 0): {listed}")
    return used & ~isotropic


def _attenuation(dwi: Path, count: int, unweighted: npt.NDArray[np.bool_]) -> FloatArray:
    signal, grid, _ = read_image(dwi)
    return measured_attenuation(np.nan_to_num(signal.reshape((*grid.shape, count), order="F")), unweighted)


def _lowest_shell(b_values: FloatArray, b0_threshold: float | None, bval: Path) -> list[str]:
    """Return a note if the lowest shell replaces b = 0."""
    lowest = b_values[unweighted_volumes(b_values, b0_threshold)]
    if b0_threshold is not None or not lowest.size or lowest.min() <= B0_THRESHOLD:
        return []
    note = (
        f"no b <= {B0_THRESHOLD:g} s/mm^2; the {lowest.size} volumes of the lowest shell "
        f"(b = {lowest.min():g} to {lowest.max():g}) count as unweighted, with their b-values in the fit"
    )
    return [f"{bval}: {note}"]


def _table(dwi: Path, given: str | Path | None, ending: str, folders: Folders | None) -> Path:
    if given is None:
        return find_inherited(dwi, ending, folders)
    path = Path(given)
    if not path.is_file():
        raise InputError("no such file", source=path)
    return path
