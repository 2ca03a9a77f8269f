"""Affine of a NIfTI header: choice between sform and qform, and their agreement."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.io._nifti_header import NiftiHeader

AFFINE_TOLERANCE = 0.1
"""Distance [mm] between sform and qform at a corner above which a note is added."""
Matrix: TypeAlias = npt.NDArray[np.float64]


class _Geometry:
    """Header fields that determine the affine; equal for all images of a series, so results can be cached."""

    def __init__(self, header: NiftiHeader, shape: tuple[int, ...], *, allow_no_affine: bool) -> None:
        self.header, self.shape, self.allow_no_affine = header, shape, allow_no_affine
        block = header.block
        fields = block[76:108] + block[252:328] if len(block) == 348 else block
        self._key = (fields, header.endianness, shape[:3], allow_no_affine)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Geometry) and self._key == other._key


def affine_of(
    header: NiftiHeader, shape: tuple[int, ...], notes: list[str], *, allow_no_affine: bool
) -> tuple[Matrix, str]:
    """Return a header's affine and its source, "sform", "qform" or "none"; append to `notes`.

    Raises
    ------
    InputError
        If both codes are 0, unless that is allowed, or if the qform is needed and unusable.
    """
    affine, source, more = _decide(_Geometry(header, shape, allow_no_affine=allow_no_affine))
    notes += more
    return affine, source


@lru_cache(maxsize=64)
def _decide(geometry: _Geometry) -> tuple[Matrix, str, tuple[str, ...]]:
    header, notes = geometry.header, list[str]()
    affine, source = _choose(header, geometry.shape, notes, allow_no_affine=geometry.allow_no_affine)
    affine.setflags(write=False)
    return affine, source, tuple(notes)


def _choose(
    header: NiftiHeader, shape: tuple[int, ...], notes: list[str], *, allow_no_affine: bool
) -> tuple[Matrix, str]:
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    qform = _qform(header, required=has_qform and not has_sform) if has_qform else None
    if has_sform:
        sform = header.sform()
        if qform is not None:
            _compare(sform, qform, shape, notes)
        _check_shear(sform, notes)
        return sform, "sform"
    if qform is not None:
        return qform, "qform"
    if not allow_no_affine:
        raise InputError(
            "sform and qform codes are both 0: the orientation, and with it the B0 direction, is unknown",
            field="sform_code/qform_code",
        )
    notes.append("no affine in the header: an axis-aligned grid with the pixdim voxel sizes is assumed")
    sizes = [abs(float(n)) for n in header["pixdim"][1:4]]
    return np.diag([*sizes, 1.0]), "none"


def _qform(header: NiftiHeader, *, required: bool) -> Matrix | None:
    """Return the affine of the quaternion; if it is unusable, None or, if `required`, an error."""
    sizes = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    problem = (
        "" if np.isfinite(sizes).all() and sizes.min() > 0 else f"{sizes.tolist()} are not valid voxel sizes"
    )
    if not problem:
        try:
            return header.qform()
        except ValueError as error:
            problem = f"unusable quaternion: {error}"
    if required:
        raise InputError(problem, field="pixdim/quatern")
    return None


def _compare(sform: Matrix, qform: Matrix, shape: tuple[int, ...], notes: list[str]) -> None:
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.asarray(shape[:3]) - 1
    distance = float(np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max())
    if not distance <= AFFINE_TOLERANCE:
        notes.append(f"sform and qform disagree by up to {distance:.3g} mm; the sform is used")


def _check_shear(affine: Matrix, notes: list[str]) -> None:
    columns = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    cosine = float(np.abs(np.triu(columns.T @ columns, 1)).max())
    if cosine > 1e-3:
        notes.append(f"the sform's axes are not orthogonal (cosine {cosine:.3g})")
