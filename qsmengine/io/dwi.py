"""Diffusion-weighted series from an image and its gradient table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.io._clean import zero_nonfinite
from qsmengine.io.gradients import clean_b_vectors, read_b_values, read_b_vectors
from qsmengine.io.header import ImageHeader, read_header
from qsmengine.io.inheritance import image_stem
from qsmengine.io.nifti import read_image


@dataclass(frozen=True)
class DwiLoaded:
    """A series, what was decided while loading it, and the files it came from."""

    series: DwiSeries
    notes: list[str]
    sources: tuple[Path, ...]


@dataclass(frozen=True)
class DwiFile:
    """A series on disk: header, grid and checked table; the voxels are not read.

    `b_values` (volume,) [s/mm^2]; `b_vectors` (volume, 3) in FSL's frame; `notes` what was decided.
    """

    path: Path
    header: ImageHeader
    grid: Grid
    b_values: FloatArray
    b_vectors: FloatArray
    notes: tuple[str, ...]
    sources: tuple[Path, ...]

    @property
    def whole_numbers(self) -> bool:
        """Whether the voxels are integers that the header scales by finite numbers: always finite."""
        scaling = [self.header.slope, self.header.intercept]
        return self.header.dtype.kind in "iu" and bool(np.isfinite(scaling).all())


def open_dwi(dwi: str | Path, bval: str | Path | None = None, bvec: str | Path | None = None) -> DwiFile:
    """Read header and table of a diffusion series; files and errors as in :func:`load_dwi`."""
    dwi = Path(dwi)
    bval, bvec = (_table(dwi, given, ending) for given, ending in ((bval, ".bval"), (bvec, ".bvec")))
    header, grid = read_header(dwi)
    if len(header.shape) > 4:
        raise InputError(f"has shape {header.shape}; four dimensions are needed", source=dwi, field="dim")
    b_values, notes = read_b_values(bval)
    b_vectors, more = read_b_vectors(bvec)
    volumes = header.shape[3] if len(header.shape) == 4 else 1
    if not volumes == len(b_values) == len(b_vectors):
        raise InputError(
            f"{volumes} volumes, {len(b_values)} b-values in {bval}, {len(b_vectors)} directions in {bvec}",
            source=dwi,
            field="bval/bvec",
        )
    b_vectors, cleaned = clean_b_vectors(b_values, b_vectors, bvec)
    told = (*(f"{dwi}: {note}" for note in header.notes), *notes, *more, *cleaned)
    return DwiFile(dwi, header, grid, b_values, b_vectors, told, (dwi, bval, bvec))


def load_dwi(
    dwi: str | Path,
    bval: str | Path | None = None,
    bvec: str | Path | None = None,
    *,
    dtype: npt.DTypeLike = np.float32,
) -> DwiLoaded:
    """Load a diffusion series.

    Parameters
    ----------
    dwi
        4-D image.
    bval, bvec
        Gradient table in FSL's frame; by default beside the image under its name.
    dtype
        Type of the signal; the stored integer type avoids any conversion where the header does not scale.

    Returns
    -------
    DwiLoaded
        Signal (x, y, z, volume) in the file's own (Fortran) memory order; b-values [s/mm^2]; b-vectors
        (volume, 3) in FSL's frame, unit or zero.

    Raises
    ------
    InputError
        Naming the file: no table, three counts that differ, zero directions at b > 0, no signal, more than
        5 % NaN or infinite values.
    """
    file = open_dwi(dwi, bval, bvec)
    signal, grid, _ = read_image(file.path, dtype=dtype)
    signal = signal.reshape((*grid.shape, len(file.b_values)), order="F")
    notes = list(file.notes)
    if signal.dtype.kind == "f" and not file.whole_numbers:
        zero_nonfinite(signal, "signal", file.path, notes)
    if not any(signal[..., v].any() for v in range(signal.shape[3])):
        raise InputError("every value is 0: no signal", source=file.path)
    return DwiLoaded(DwiSeries(signal, file.b_values, file.b_vectors, grid), notes, file.sources)


def _table(dwi: Path, given: str | Path | None, ending: str) -> Path:
    path = Path(given) if given is not None else dwi.with_name(image_stem(dwi.name) + ending)
    if not path.is_file():
        raise InputError("no such file" if given is not None else f"not found beside {dwi.name}", source=path)
    return path
