"""Image formats other than NIfTI: FreeSurfer's MGH, and names of unsupported formats."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np

from qsmengine.errors import InputError

MGH_VERSION = b"\0\0\0\1"
"""First bytes of an MGH file, which is big-endian."""
MGH_HEADER = 284
_ORIENTED = slice(28, 30)
_MGH_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_NAMES = (
    (b"mrtrix image", "MRtrix image", "mrconvert in.mif out.nii.gz converts it"),
    (b"NRRD", "NRRD image", "save it as NIfTI in the program that wrote it"),
    (b"CDF", "MINC image", "mnc2nii converts it"),
    (b"\x89HDF", "HDF5 file (MINC 2 or other)", "mnc2nii converts MINC"),
    (b"\x89PNG", "PNG picture", "pass the NIfTI image it was made from"),
    (b"\xff\xd8\xff", "JPEG picture", "pass the NIfTI image it was made from"),
    (b"PK\x03\x04", "zip archive", "unpack it"),
    (b"\x93NUMPY", "NumPy array", "it holds no geometry; save it as NIfTI"),
    (b"ObjectType", "MetaImage", "save it as NIfTI in the program that wrote it"),
)


def describe_foreign(block: bytes) -> str | None:
    """Describe a file that starts with `block` and suggest a remedy; None if the format is unknown."""
    if b"<GIFTI" in block or b"<!DOCTYPE GIFTI" in block:
        return "a GIFTI surface, which is not supported; pass the volume"
    if block[128:132] == b"DICM":
        return "a DICOM file; `qsmengine import` converts a folder of them"
    for magic, name, way in _NAMES:
        if block.startswith(magic):
            return f"a {name}, which is not supported; {way}"
    return None


def mgh_facts(block: bytes) -> dict[str, Any]:
    """Return shape, dtype, offset and affine (4, 4) [mm] of an MGH image from its first bytes.

    Raises
    ------
    InputError
        For a truncated header, an unsupported voxel type, sizes that are not positive, or no orientation.
    """
    if len(block) < MGH_HEADER:
        raise InputError(f"truncated: {len(block)} bytes, an MGH header has {MGH_HEADER}")
    from nibabel.freesurfer.mghformat import MGHHeader

    header: Any = cast("Any", MGHHeader).from_fileobj(io.BytesIO(block[:MGH_HEADER] + bytes(64)), check=False)
    code, sizes = int(header["type"]), [int(n) for n in header["dims"]]
    if code not in _MGH_TYPES:
        raise InputError(f"voxels of MGH type {code} are not supported", field="type")
    if block[_ORIENTED] == b"\0\0":
        raise InputError(
            "no orientation in the header; set one with mri_convert --in_orientation", field="goodRASFlag"
        )
    shape = sizes if sizes[3] != 1 else sizes[:3]
    affine = np.asarray(header.get_affine(), dtype=np.float64)
    return {"shape": tuple(shape), "dtype": np.dtype(_MGH_TYPES[code]), "offset": MGH_HEADER, "affine": affine}
