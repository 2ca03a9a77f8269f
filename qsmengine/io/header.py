"""Headers of NIfTI-1, NIfTI-2 and MGH files; claimed sizes are checked before any allocation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io._affine import affine_of
from qsmengine.io._formats import MGH_VERSION, describe_foreign, mgh_facts
from qsmengine.io._nifti_header import NiftiHeader
from qsmengine.io._stream import open_bytes
from qsmengine.records import record

MAX_DIMENSION = 4096
MGH = "mgh"
"""Affine source of FreeSurfer images."""
_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8", 1792: "c16",
}  # fmt: skip
_REFUSED = {1: "binary", 128: "RGB", 2304: "RGBA", 1536: "float128", 2048: "complex256"}
_SIZES = {348: 1, 540: 2}
_TIME_UNITS = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""Bits of xyzt_units -> unit of time [s]."""
_MAGIC = {1: (344, {b"n+1": True, b"ni1": False}), 2: (4, {b"n+2": True, b"ni2": False})}


@record
class ImageHeader:
    """Header of an image file, as stored.

    Parameters
    ----------
    path, data_path
        Header file and file of the voxels; different only for .hdr/.img pairs.
    shape
        At least three numbers; trailing ones beyond the third are dropped.
    dtype
        Stored type with its byte order.
    offset
        First byte of the voxels in `data_path`, after decompression.
    slope, intercept
        value = slope * stored + intercept; (1, 0) if the header specifies no scaling (slope 0 or NaN).
    intent, description
        Intent name and free text.
    sform_code, qform_code
        Codes of the two affines.
    affine_source
        "sform", "qform", "mgh" or "none" (only if the caller allowed it).
    notes
        Decisions and warnings.
    frame_time
        pixdim[4] [s], the time between volumes; None if it is not positive or its unit is not a time.
    """

    path: Path
    data_path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    intent: str
    description: str
    sform_code: int
    qform_code: int
    affine_source: str
    notes: list[str]
    frame_time: float | None = None

    @property
    def is_scaled(self) -> bool:
        """Whether stored values must be scaled."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def is_complex(self) -> bool:
        """Whether the voxels are complex numbers."""
        return self.dtype.kind == "c"

    @property
    def n_bytes(self) -> int:
        """Size of the voxel data [bytes]."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(path: str | Path, *, allow_no_affine: bool = False) -> tuple[ImageHeader, Grid]:
    """Read and check the header of an image (.nii, .nii.gz, .hdr, .img, .mgz, .mgh) without reading its voxels.

    Parameters
    ----------
    path
        File; its first bytes identify the format.
    allow_no_affine
        Accept a header with sform and qform codes 0: the grid is then axis-aligned with the pixdim sizes.

    Returns
    -------
    ImageHeader, Grid
        Header as stored, and the geometry (sform if its code > 0, else qform).

    Raises
    ------
    InputError
        For an unsupported or inconsistent header.
    """
    path = _header_path(Path(path))
    with open_bytes(path) as source:
        block = source.read(540)
    try:
        if block.startswith(MGH_VERSION):
            return _mgh(block, path)
        header, single = _parse(block)
        with np.errstate(all="ignore"):
            return _facts(header, path, single=single, allow_no_affine=allow_no_affine)
    except InputError as error:
        raise error.at(path) if error.source is None else error from error


def check_stored_size(header: ImageHeader) -> None:
    """Raise InputError unless the file contains the voxels that its header claims.

    The size of a plain file is compared. A gzip file is trusted if the length in its last four bytes agrees
    with the header; otherwise it is decompressed to the end and counted.
    """
    with open_bytes(header.data_path) as source:
        source.check_claim(header.offset + header.n_bytes)


def _header_path(path: Path) -> Path:
    for ending, partner in ((".img", ".hdr"), (".img.gz", ".hdr.gz")):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + partner)
    return path


def _data_path(path: Path) -> Path:
    for ending, partner in ((".hdr", ".img"), (".hdr.gz", ".img.gz")):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + partner)
    raise InputError("contains only the header of a pair but is not named .hdr", source=path, field="magic")


def _mgh(block: bytes, path: Path) -> tuple[ImageHeader, Grid]:
    facts = mgh_facts(block)
    affine = facts.pop("affine")
    sizes = facts["shape"]
    if min(sizes) < 1 or max(sizes) > MAX_DIMENSION:
        raise InputError(f"{list(sizes)} are not sizes between 1 and {MAX_DIMENSION}", field="dims")
    header = ImageHeader(
        path=path,
        data_path=path,
        **facts,
        slope=1.0,
        intercept=0.0,
        intent="none",
        description="",
        sform_code=1,
        qform_code=0,
        affine_source=MGH,
        notes=[],
    )
    return header, Grid(sizes[:3], affine)


def _parse(block: bytes) -> tuple[NiftiHeader, bool]:
    orders: tuple[tuple[Literal["<", ">"], str], ...] = (("<", "little"), (">", "big"))
    for order, name in orders:
        size = int.from_bytes(block[:4], "little" if order == "<" else "big")
        version = _SIZES.get(size)
        if version is None:
            continue
        if len(block) < size:
            raise InputError(f"truncated: {len(block)} bytes, a header has {size}")
        position, magics = _MAGIC[version]
        single = magics.get(block[position : position + 3])
        if single is None:
            raise InputError(
                f"{name}-endian header without a NIfTI-{version} magic (Analyze 7.5 files are not supported)",
                field="magic",
            )
        return NiftiHeader(block[:size], version, order), single
    foreign = describe_foreign(block)
    if foreign is not None:
        raise InputError(f"this is {foreign}")
    raise InputError(f"not a NIfTI file (it starts with {block[:8]!r})", field="sizeof_hdr")


def _facts(header: NiftiHeader, path: Path, *, single: bool, allow_no_affine: bool) -> tuple[ImageHeader, Grid]:
    notes: list[str] = []
    shape = _shape(header)
    dtype = _dtype(header)
    slope, intercept = _scaling(header, notes)
    affine, affine_source = affine_of(header, shape, notes, allow_no_affine=allow_no_affine)
    facts = ImageHeader(
        path=path,
        data_path=path if single else _data_path(path),
        shape=shape,
        dtype=dtype,
        offset=_offset(header, single=single),
        slope=slope,
        intercept=intercept,
        intent=header.intent,
        description=bytes(header["descrip"]).split(b"\0")[0].decode("latin-1"),
        sform_code=int(header["sform_code"]),
        qform_code=int(header["qform_code"]),
        affine_source=affine_source,
        notes=notes,
        frame_time=_frame_time(header),
    )
    return facts, Grid(shape[:3], affine)  # type: ignore[arg-type]


def _frame_time(header: NiftiHeader) -> float | None:
    unit = _TIME_UNITS.get(int(header["xyzt_units"]) & 0x38)
    time = float(header["pixdim"][4])
    return time * unit if unit is not None and math.isfinite(time) and time > 0 else None


def _shape(header: NiftiHeader) -> tuple[int, ...]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise InputError(f"{dim[0]} dimensions", field="dim[0]")
    sizes = dim[1 : dim[0] + 1]
    if min(sizes) < 1 or max(sizes) > MAX_DIMENSION:
        raise InputError(f"{sizes} are not sizes between 1 and {MAX_DIMENSION}", field="dim")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) == 5 and sizes[3] == 1:
        del sizes[3]
    return tuple(sizes + [1] * (3 - len(sizes)))


def _dtype(header: NiftiHeader) -> np.dtype[Any]:
    code = int(header["datatype"])
    if code not in _DTYPES:
        name = _REFUSED.get(code, "unknown")
        raise InputError(
            f"{name} voxels (code {code}) are not supported; real or complex numbers are", field="datatype"
        )
    return np.dtype(_DTYPES[code]).newbyteorder(header.endianness)


def _offset(header: NiftiHeader, *, single: bool) -> int:
    smallest = int(header["sizeof_hdr"]) + 4 if single else 0
    offset = float(header["vox_offset"])
    if offset == 0.0:
        return smallest
    if not (math.isfinite(offset) and offset >= smallest and offset == int(offset)):
        raise InputError(f"{offset} is not a position of at least {smallest} bytes", field="vox_offset")
    return int(offset)


def _scaling(header: NiftiHeader, notes: list[str]) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope):
        raise InputError("infinite scaling", field="scl_slope")
    if slope == 0.0 or math.isnan(slope):
        if intercept != 0.0 and not math.isnan(intercept):
            notes.append(f"scl_slope {slope:g} means no scaling; scl_inter {intercept:g} ignored")
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise InputError(f"{intercept} is not a usable intercept", field="scl_inter")
    return slope, intercept
