"""The study that exported objects belong to: its MR volumes, their geometry, and the headers of one of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.errors import DeviceError, InputError
from qsmengine.grid import LPS, FloatArray, Grid
from qsmengine.io.dicom_objects.overlap import overlap, same_grid
from qsmengine.io.enhanced import CLASSIC_MR, ENHANCED_MR, MALFORMED, frames_of, functional_group, volumes_of

_MULTI_FRAME = (ENHANCED_MR, "1.2.840.10008.5.1.4.1.1.4.4")
"""Enhanced MR, and Legacy Converted Enhanced MR."""
_OTHER_PARTS = frozenset({"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"})
_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
"""Attributes that DICOM requires but allows to be empty; de-identified files often lack them."""
_TAGS = [
    "SOPClassUID", "PatientID", "StudyInstanceUID", "StudyDate", "StudyDescription", "SeriesInstanceUID",
    "SeriesNumber", "SeriesDescription", "FrameOfReferenceUID", "ImageType", "EchoTime", "InstanceNumber",
    "Rows", "Columns", "PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
OVERLAP = 0.5
"""Smallest fraction of the map inside the acquired volume, or of the acquired volume inside the map."""
_EVEN = 0.02
"""Largest deviation of a slice from even spacing, as a fraction of the spacing."""


@dataclass(frozen=True)
class Stack:
    """Volume of a series: evenly spaced parallel slices.

    Parameters
    ----------
    files
        One file per slice in the order of `grid`, or a single file with all frames.
    grid
        Geometry of (column, row, slice).
    number, description, frame
        Series number and description, and UID of the frame of reference.
    rank
        Sorting key: original magnitude images of early echoes and low series numbers come first.
    """

    files: tuple[Path, ...]
    grid: Grid
    number: int
    description: str
    frame: str
    rank: tuple[Any, ...]

    @property
    def title(self) -> str:
        """Series number and description."""
        return f"series {self.number} ({self.description or 'no description'})"

    def headers(self) -> list[Any]:
        """Return the headers without pixels, in the order of the files."""
        import pydicom

        found = [pydicom.dcmread(path, stop_before_pixels=True) for path in self.files]
        for header in found:
            for keyword in _EMPTY:
                if keyword not in header:
                    setattr(header, keyword, "")
        return found


@dataclass(frozen=True)
class Study:
    """MR volumes of one study of one patient; `notes` name files that are none."""

    folder: Path
    stacks: tuple[Stack, ...]
    notes: tuple[str, ...] = ()

    def reference(self, grid: Grid, inside: FloatArray) -> tuple[Stack, bool]:
        """Return the volume that a map refers to, and whether the map is on its grid.

        Parameters
        ----------
        grid
            Geometry of the map.
        inside
            Voxel indices (n, 3) where the map has values.

        Raises
        ------
        InputError
            If the map overlaps none of the volumes, or volumes of several frames of reference.
        """
        same = [one for one in self.stacks if same_grid(grid, one.grid)]
        found = same or [one for one in self.stacks if overlap(grid, inside, one.grid) >= OVERLAP]
        if not found:
            raise InputError(
                f"does not overlap the volume of any series in {self.folder}: it belongs to another study, or "
                "to a space that is not the scanner's (a template, an aligned image)",
                field="affine",
            )
        if len({one.frame for one in found}) > 1:
            titles = sorted({one.title for one in found})
            raise InputError(
                f"{' and '.join(titles)} overlap the map but differ in their frame of reference; leave only "
                f"the series that the map was made from in {self.folder}",
                field="FrameOfReferenceUID",
            )
        return min(found, key=lambda one: one.rank), bool(same)


def read_study(folder: Path) -> Study:
    """Read the headers of all DICOM files below `folder`.

    Raises
    ------
    InputError
        If the folder holds several studies or patients, or no volume of MR images.
    DeviceError
        Without the extra ``qsmengine[dicom]``.
    """
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise DeviceError("DICOM export needs pydicom and highdicom: pip install 'qsmengine[dicom]'") from None
    if not folder.is_dir():
        raise InputError("no such folder", source=folder)
    headers = list(_headers(folder))
    _check_one(folder, headers)
    left_out: Counter[str] = Counter()
    stacks = _stacks(headers, left_out)
    if not stacks:
        raise InputError(
            "no volume of MR images (classic or enhanced DICOM with position, orientation and frame of "
            f"reference) among {len(headers)} DICOM files{_reasons(left_out)}",
            source=folder,
        )
    notes = tuple(f"{folder}: {count} files left out ({why})" for why, count in left_out.items())
    return Study(folder, tuple(sorted(stacks, key=lambda one: one.rank)), notes)


def _stacks(headers: Sequence[tuple[Path, Any]], left_out: Counter[str]) -> list[Stack]:
    """Return the volumes of some files; count those that belong to none in `left_out`, by reason."""
    stacks: list[Stack] = []
    classic: dict[tuple[object, ...], list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in headers:
        try:
            if "MOSAIC" in (header.get("ImageType") or ()):
                left_out["mosaic, whose slices have no position"] += 1
            elif header.get("SOPClassUID") == CLASSIC_MR:
                classic[_volume_key(header)].append((path, header))
            elif header.get("SOPClassUID") in _MULTI_FRAME:
                stacks += _from_frames(path, header)
        except MALFORMED as error:
            left_out[f"{type(error).__name__}: {str(error)[:80]}"] += 1
    for slices in classic.values():
        try:
            stacks += _from_slices(slices)
        except MALFORMED as error:
            left_out[f"{type(error).__name__}: {str(error)[:80]}"] += len(slices)
    return stacks


def _reasons(left_out: Counter[str]) -> str:
    return "".join(f"; {count}: {why}" for why, count in left_out.items())


def _headers(folder: Path) -> Iterator[tuple[Path, Any]]:
    import pydicom

    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except (pydicom.errors.InvalidDicomError, *MALFORMED):
            continue
        if "StudyInstanceUID" in header:
            yield path, header


def _check_one(folder: Path, headers: Sequence[tuple[Path, Any]]) -> None:
    """Raise InputError unless the files belong to one study of one patient."""
    studies: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in headers:
        studies[str(header.StudyInstanceUID)].append((path, header))
    if len(studies) > 1:
        named = [
            f"{uid} ({header.get('StudyDescription') or 'no description'}, {len(files)} files such as "
            f"{path.relative_to(folder)})"
            for uid, files in studies.items()
            for path, header in files[:1]
        ]
        raise InputError(
            f"{len(studies)} studies in one folder: {'; '.join(named)}; give the folder of the study that the "
            "maps were made from",
            source=folder,
            field="StudyInstanceUID",
        )
    patients = {str(header.get("PatientID") or "") for _, header in headers}
    if len(patients) > 1:
        raise InputError(
            f"{len(patients)} patients share one study; give the folder of one",
            source=folder,
            field="PatientID",
        )


def _volume_key(header: Any) -> tuple[object, ...]:
    """Attributes that are equal for the slices of one volume."""
    orientation = tuple(round(float(value), 4) for value in header.ImageOrientationPatient)
    spacing = tuple(round(float(value), 5) for value in header.PixelSpacing)
    return (
        str(header.SeriesInstanceUID),
        str(header.FrameOfReferenceUID),
        float(header.get("EchoTime") or 0.0),
        tuple(header.get("ImageType") or ()),
        orientation,
        spacing,
        int(header.Rows),
        int(header.Columns),
    )


def _from_slices(slices: Sequence[tuple[Path, Any]]) -> list[Stack]:
    """Return the volume of single-frame files; repetitions of a position are left out."""
    slices = sorted(slices, key=lambda one: (int(one[1].get("InstanceNumber") or 0), one[0]))
    header = slices[0][1]
    positions = np.array([one.ImagePositionPatient for _, one in slices], dtype=np.float64)
    found = _geometry(header, header, header, positions)
    if found is None:
        return []
    grid, order = found
    return [_stack(tuple(slices[index][0] for index in order), grid, header, header.get("EchoTime"), ())]


def _from_frames(path: Path, header: Any) -> list[Stack]:
    """Return the first repetition of every echo and part of a multi-frame file."""
    volumes = volumes_of(header)
    frames = list(frames_of(header))
    found = []
    for volume in sorted(set(volumes)):
        own = [frame for frame, kind in zip(frames, volumes, strict=True) if kind == volume]
        groups = [functional_group(header, frame, "PlanePositionSequence") for frame in own]
        positions = np.array([group.ImagePositionPatient for group in groups], dtype=np.float64)
        orientation = functional_group(header, own[0], "PlaneOrientationSequence")
        measures = functional_group(header, own[0], "PixelMeasuresSequence")
        geometry = _geometry(header, orientation, measures, positions)
        if geometry is not None:
            found.append(_stack((path,), geometry[0], header, volume.echo_time, (volume.part,)))
    return found


def _stack(files: tuple[Path, ...], grid: Grid, header: Any, echo: Any, part: Sequence[str]) -> Stack:
    kind = {str(token).upper() for token in (*(header.get("ImageType") or ()), *part)}
    number = int(header.get("SeriesNumber") or 0)
    rank = ("ORIGINAL" not in kind, bool(kind & _OTHER_PARTS), float(echo or 0.0), number, files)
    return Stack(
        files, grid, number, str(header.get("SeriesDescription") or ""), str(header.FrameOfReferenceUID), rank
    )


def _geometry(
    header: Any, orientation: Any, measures: Any, positions: FloatArray
) -> tuple[Grid, list[int]] | None:
    """Return the grid of parallel slices and their order, None if they are not evenly spaced."""
    directions = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(*directions)
    along = positions @ normal
    order: list[int] = []
    for index in np.argsort(along, kind="stable").tolist():
        if not order or along[index] - along[order[-1]] > 1e-3:
            order.append(index)
    first, last = positions[order[0]], positions[order[-1]]
    if len(order) > 1:
        step = (last - first) / (len(order) - 1)
        ideal = first + np.arange(len(order))[:, None] * step
        if np.abs(positions[order] - ideal).max() > _EVEN * float(np.linalg.norm(step)):
            return None
    else:
        step = normal * float(measures.get("SliceThickness") or 1.0)
    rows, columns = (float(value) for value in measures.PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.column_stack((directions[0] * columns, directions[1] * rows, step, first))
    try:
        return Grid((int(header.Columns), int(header.Rows), len(order)), LPS @ affine), order
    except InputError:
        return None
