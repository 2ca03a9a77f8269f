"""NIfTI input and output: checked reads into one buffer, atomic and reproducible writes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io._nifti_header import NiftiHeader
from qsmengine.io._stream import open_bytes
from qsmengine.io.atomic import write_atomic
from qsmengine.io.header import MGH, ImageHeader, read_header
from qsmengine.io.voxel_bytes import BLOCK, compressed, image_bytes

STORED = 1e-3
"""Largest displacement [mm] of a grid's corners when its affine is stored in a header."""
WHOLE = 0.05
"""Largest deviation of a label from an integer: allows scaling and rounding, but not interpolation."""
SYMMETRIC_MATRIX = "symmetric matrix"
"""Intent of an image with six components per voxel, (x, y, z, 1, 6) on disk, of a symmetric 3 x 3 matrix."""

DISPLACEMENT = "vector"
"""Intent of an image with a vector per voxel, (x, y, z, 1, 3) on disk, as ITK stores displacement fields."""


class Image(NamedTuple):
    """Image in memory: `array` (x, y, z[, volume]) in Fortran order, `grid` and `header`."""

    array: Array
    grid: Grid
    header: ImageHeader


def read_image(
    path: str | Path,
    *,
    dtype: npt.DTypeLike = np.float32,
    allow_no_affine: bool = False,
    mapped: bool = False,
) -> Image:
    """Read a NIfTI-1 or NIfTI-2 image, plain, gzip or .hdr/.img pair, of either byte order, or an MGH image.

    Parameters
    ----------
    path
        File; the format is read from its content, not its extension.
    dtype
        Type of the returned array. A real type refuses complex files; an integer type rounds values within
        0.05 of an integer, with a note in the header, and refuses others.
    allow_no_affine
        See :func:`qsmengine.io.header.read_header`.
    mapped
        Whether a large plain file may be mapped into memory. Nobody may shorten it while the array is in use;
        replacing it by another file is safe.

    Returns
    -------
    Image
        value = scl_slope * stored + scl_inter, in the file's own (Fortran) memory order.

    Raises
    ------
    InputError
        For truncated or damaged data, a header that claims more than the file contains, an unsupported type,
        or a missing affine; the message names the file and the header field.
    """
    stored, grid, header = read_stored(path, allow_no_affine=allow_no_affine, mapped=mapped)
    return Image(_convert(stored, header, np.dtype(dtype)), grid, header)


def read_stored(path: str | Path, *, allow_no_affine: bool = False, mapped: bool = False) -> Image:
    """Read the voxels as stored: native byte order, Fortran memory order, slope and intercept not applied.

    Parameters and errors as in :func:`read_image`.
    """
    header, grid = read_header(path, allow_no_affine=allow_no_affine)
    with open_bytes(header.data_path) as source:
        source.check_claim(header.offset + header.n_bytes)
        source.skip_to(header.offset)
        buffer = source.take(header.n_bytes, mapped=mapped and header.dtype.isnative)
        extra = source.finish()
    if extra and header.affine_source != MGH:  # MGH files end with acquisition parameters, which are not voxels
        header.notes.append(f"{extra} bytes after the voxels ignored")
    array = buffer.view(header.dtype)
    if not header.dtype.isnative:
        array = array.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    return Image(array.reshape(header.shape, order="F"), grid, header)


@contextmanager
def mapped_voxels(path: str | Path, folder: Path) -> Iterator[Image]:
    """Map the stored voxels from disk, through a decompressed copy in `folder` if the file is gzip.

    The stored byte order is kept; otherwise as :func:`read_stored`. The copy is deleted at the end.
    """
    header, grid = read_header(path)
    with ExitStack() as stack:
        source = stack.enter_context(open_bytes(header.data_path))
        source.check_claim(header.offset + header.n_bytes)
        shape, dtype = header.shape, header.dtype
        if not source.compressed:
            mapped = np.memmap(header.data_path, dtype, "r", header.offset, shape, "F")
            yield Image(mapped, grid, header)
            return
        copy = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        source.skip_to(header.offset)
        buffer = bytearray(BLOCK)
        for start in range(0, header.n_bytes, BLOCK):
            view = memoryview(buffer)[: min(BLOCK, header.n_bytes - start)]
            source.read_exactly(view)
            copy.write(view)
        source.finish()
        copy.flush()
        yield Image(np.memmap(copy, dtype, "r", 0, shape, "F"), grid, header)


def scale_stored(
    stored: Array,
    slope: float,
    intercept: float,
    dtype: npt.DTypeLike = np.float32,
    *,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Return slope * stored + intercept as `dtype`, Fortran order, computed in float64 if float32 is too short.

    The values go to `out`, of this type and order, if it is given; else the stored array is returned if nothing
    changes.
    """
    dtype = np.dtype(dtype)
    scaled = (slope, intercept) != (1.0, 0.0)
    if out is None:
        if not scaled and stored.dtype == dtype:
            return stored
        out = np.empty(stored.shape, dtype, order="F")
    if not scaled and (stored.dtype == dtype or stored.dtype.itemsize < 4):
        np.copyto(out, stored)
        return out
    flat, found = (array.reshape(-1, order="F") for array in (stored, out))
    work = _work_type(flat.dtype, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.size, BLOCK):
            block = flat[start : start + BLOCK].astype(work)
            if scaled:
                block *= slope
                block += intercept
            found[start : start + BLOCK] = block
    return out


def write_image(
    path: str | Path,
    array: Array,
    grid: Grid,
    *,
    intent: str | None = None,
    description: str = "",
    xform_code: int = 1,
    part: tuple[slice, ...] | None = None,
) -> None:
    """Write a NIfTI-1 image atomically: float32 (integers for masks and labels), slope 1, intercept 0.

    Parameters
    ----------
    path
        Target, .nii.gz (reproducible gzip, without time or name) or .nii.
    array
        (x, y, z[, volume]). Real floats become float32; booleans and integers become the smallest sufficient
        type of uint8, int16 and int32.
    grid
        Geometry; its affine is written as sform, and also as qform if a quaternion can express it.
    intent, description
        NIfTI intent name and up to 79 ASCII characters. For `SYMMETRIC_MATRIX` and `DISPLACEMENT` an array
        (x, y, z, component) is written with five dimensions.
    xform_code
        Meaning of the affine (1 scanner, 2 aligned, 3 Talairach, 4 MNI).
    part
        Part of the grid that `array` covers; the image is 0 elsewhere. None: all of it.

    Raises
    ------
    InputError
        If the array does not fit the grid or cannot be written.
    OSError
        From the file system; no partial file remains.
    """
    path = Path(path)
    array = np.asarray(array)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError("images are written as .nii or .nii.gz", source=path)
    covered = grid.shape if part is None else tuple(side.stop - side.start for side in part)
    if array.ndim not in {3, 4} or tuple(array.shape[:3]) != covered:
        raise InputError(f"array of shape {array.shape} does not fit a grid of {covered}", source=path)
    shape = (*grid.shape, *array.shape[3:])
    if max(shape) > 32767:
        raise InputError(f"{shape} has a side too long for NIfTI-1", source=path)
    dtype = _written_type(array, path)
    header = _make_header(shape, dtype, grid, intent, description, xform_code)
    chunks = image_bytes(header, array, dtype, grid.shape, None if covered == grid.shape else part)
    if path.name.endswith(".gz"):
        chunks = compressed(chunks)

    def check(temporary: Path) -> None:
        found, found_grid = read_header(temporary)
        same_size = found.n_bytes == math.prod(shape) * dtype.itemsize
        if found.dtype != dtype or not same_size or not found_grid.matches(grid, STORED):
            raise OSError(f"{temporary}: the header read back differs from the one written")

    write_atomic(path, chunks, check=check)


def check_real(header: ImageHeader) -> None:
    """Raise InputError for an image of complex numbers."""
    if header.is_complex:
        raise InputError(
            f"contains complex numbers ({header.dtype.name}); real numbers are required here",
            source=header.path,
            field="datatype",
        )


def _convert(stored: Array, header: ImageHeader, dtype: np.dtype[Any]) -> Array:
    if dtype.kind != "c":
        check_real(header)
    if dtype.kind in "fc":
        return scale_stored(stored, header.slope, header.intercept, dtype)
    if not header.is_scaled and stored.dtype == dtype:
        return stored
    limits = np.iinfo(dtype)
    exact = not header.is_scaled and stored.dtype.kind in "iu" and stored.size > 0
    if exact and limits.min <= stored.min() and stored.max() <= limits.max:
        return stored.astype(dtype)
    values = scale_stored(stored, header.slope, header.intercept, np.float64)
    unknown = np.isnan(values)
    if unknown.any() and not unknown.all():
        header.notes.append(f"{int(np.count_nonzero(unknown))} NaN values taken as background (0)")
        values = np.where(unknown, 0.0, values)
    with np.errstate(invalid="ignore"):
        if not (np.isfinite(values).all() and values.min() >= limits.min and values.max() <= limits.max):
            raise InputError(
                f"values are not finite or do not fit {dtype.name} labels", source=header.path, field="datatype"
            )
        whole = np.rint(values)
        apart = float(np.abs(values - whole).max(initial=0.0))
    if apart > WHOLE:
        raise InputError(
            f"values are up to {apart:.2g} off whole numbers, which labels must be: they were interpolated "
            "(resample them with nearest neighbours) or stored with a scale (store them as whole numbers)",
            source=header.path,
            field="datatype",
        )
    if apart > 0:
        header.notes.append(f"labels up to {apart:.1g} off whole numbers rounded")
    labels: Array = whole.astype(dtype)
    return labels


def _work_type(stored: np.dtype[Any], wanted: np.dtype[Any]) -> np.dtype[Any]:
    if stored.kind == "c" or wanted.kind == "c":
        return np.dtype(np.complex128)
    small = stored.itemsize < 4 or stored == np.float32
    return np.dtype(np.float32 if small and wanted == np.float32 else np.float64)


def _written_type(array: Array, path: Path) -> np.dtype[Any]:
    if array.dtype.kind == "f":
        return np.dtype("<f4")
    if array.dtype.kind == "b" or array.size == 0:
        return np.dtype("<u1")
    if array.dtype.kind in "iu":
        low, high = int(array.min()), int(array.max())
        for name in ("<u1", "<i2", "<i4"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return np.dtype(name)
    raise InputError(f"{array.dtype.name} values of this range cannot be written", source=path)


def _make_header(
    shape: tuple[int, ...], dtype: np.dtype[Any], grid: Grid, intent: str | None, description: str, code: int
) -> NiftiHeader:
    header = NiftiHeader.empty()
    components = intent in {SYMMETRIC_MATRIX, DISPLACEMENT}
    header.set_image((*shape[:3], 1, shape[3]) if components else shape, dtype, intent)
    if intent == SYMMETRIC_MATRIX:
        header["intent_p"] = (3, 0, 0)
    header.set_affines(grid.affine, code)
    if not grid.matches(Grid(grid.shape, header.qform()), STORED):
        header["qform_code"] = 0
    header["descrip"] = description.encode("ascii", "replace")[:79]
    return header
