"""Enhanced (multi-frame) MR DICOM files with several dimensions as classic files, one volume a series.

Scanners write all echoes, repetitions and parts (magnitude, phase) of a series into one enhanced file. dcm2niix
stacks such volumes as slices unless it knows the vendor's dimensions, so these files are divided first. Files
of diffusion series and of a single volume are left to dcm2niix.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

from qsmengine.errors import InputError

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
_LETTERS = {"MAGNITUDE": "M", "PHASE": "P", "REAL": "R", "IMAGINARY": "I"}
_GROUPS = {
    "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {
        "PixelSpacing": "PixelSpacing",
        "SliceThickness": "SliceThickness",
        "SpacingBetweenSlices": "SpacingBetweenSlices",
    },
    "PixelValueTransformationSequence": {
        "RescaleSlope": "RescaleSlope",
        "RescaleIntercept": "RescaleIntercept",
        "RescaleType": "RescaleType",
    },
    "MRTimingAndRelatedParametersSequence": {"RepetitionTime": "RepetitionTime", "FlipAngle": "FlipAngle"},
}
"""Functional group -> its attribute -> the attribute of classic files."""
_LEFT_OUT = (
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
    "PixelData",
    "NumberOfFrames",
    "DimensionIndexSequence",
    "DimensionOrganizationSequence",
)
MALFORMED = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError,
    RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""Errors that pydicom raises for missing, misplaced and malformed elements."""
_INCOMPLETE = (
    "not a complete enhanced DICOM file", "export the series again, or as classic DICOM",
)  # fmt: skip
REPETITION = 100
"""Added to the series number for every repetition after the first."""


class Volume(NamedTuple):
    """Volume that a frame belongs to."""

    repetition: int
    part: str
    echo_time: float


def divide_enhanced(folder: Path, target: Path) -> tuple[Path, list[str]]:
    """Return a folder to convert, and notes: `folder`, or `target` with its enhanced files divided.

    Raises
    ------
    InputError
        For a file whose pixels are compressed, or whose frames do not form complete volumes.
    """
    import pydicom

    divided: dict[Path, Any] = {}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        except (pydicom.errors.InvalidDicomError, OSError, ValueError):
            continue
        if header.get("SOPClassUID") != ENHANCED_MR:
            continue
        with elements_of(path, *_INCOMPLETE):
            dataset = pydicom.dcmread(path)
            if len(set(volumes_of(dataset))) > 1 and not _is_diffusion(dataset):
                divided[path] = dataset
    if not divided:
        return folder, []
    target.mkdir(parents=True)
    notes = []
    for number, path in enumerate(files):
        if path in divided:
            with elements_of(path, *_INCOMPLETE):
                notes.append(_divide(path, divided[path], target / f"divided-{number}"))
        else:
            (target / f"file-{number}").symlink_to(path.resolve())
    return target, notes


@contextmanager
def elements_of(source: Path, problem: str, remedy: str) -> Iterator[None]:
    """Raise an InputError about `source` for what pydicom raises at missing and malformed elements."""
    try:
        yield
    except MALFORMED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = f"{type(error).__name__}: {str(error)[:120]}"
        raise InputError(f"{problem} ({what}); {remedy}", source=source) from error


def frames_of(dataset: Any) -> Iterator[Any]:
    """Yield the functional groups of every frame."""
    yield from dataset.PerFrameFunctionalGroupsSequence


def functional_group(dataset: Any, frame: Any, name: str) -> Any:
    """Return the item of a functional group, of the frame or shared by all; None without it."""
    for place in (frame, dataset.SharedFunctionalGroupsSequence[0]):
        if place.get(name):
            return place.get(name)[0]
    return None


def _is_diffusion(dataset: Any) -> bool:
    return any(
        functional_group(dataset, frame, "MRDiffusionSequence") is not None for frame in frames_of(dataset)
    )


def volumes_of(dataset: Any) -> list[Volume]:
    """Return the volume of every frame; repeated frames of an echo, part and position count in their order."""
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for frame in frames_of(dataset):
        echo, kind = (
            functional_group(dataset, frame, name) for name in ("MREchoSequence", "MRImageFrameTypeSequence")
        )
        time = float(echo.get("EffectiveEchoTime") or 0.0) if echo is not None else 0.0
        if not math.isfinite(time):
            raise ValueError(f"echo time {time}")
        part = str(kind.get("ComplexImageComponent") or "MAGNITUDE") if kind is not None else "MAGNITUDE"
        place = functional_group(dataset, frame, "PlanePositionSequence")
        where = tuple(place.ImagePositionPatient) if place is not None else ()
        key = (time, part, where)
        found.append(Volume(seen.get(key, 0), part, time))
        seen[key] = seen.get(key, 0) + 1
    return found


def _divide(path: Path, dataset: Any, target: Path) -> str:
    """Write every frame of a file as a classic file below `target`, one series a volume; return a note."""
    from pydicom.uid import generate_uid

    volumes = volumes_of(dataset)
    kinds = sorted(set(volumes))
    counts = {volumes.count(kind) for kind in kinds}
    unknown = {kind.part for kind in kinds} - set(_LETTERS)
    if len(counts) > 1 or unknown:
        raise InputError(
            f"{len(volumes)} frames of {len(kinds)} echoes, parts and repetitions do not form complete volumes "
            "of magnitude, phase, real or imaginary parts; export the series as classic DICOM",
            source=path,
        )
    try:
        pixels = dataset.pixel_array
        pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    except (RuntimeError, AttributeError, ValueError, NotImplementedError) as error:
        raise InputError(f"{error}; export uncompressed or classic DICOM", source=path) from None
    uids = {kind: generate_uid() for kind in kinds}
    echoes = sorted({kind.echo_time for kind in kinds})
    target.mkdir()
    for number, (frame, kind) in enumerate(zip(frames_of(dataset), volumes, strict=True)):
        classic = _classic(dataset, frame, kind.part)
        classic.SeriesInstanceUID = uids[kind]
        classic.SeriesNumber = int(dataset.get("SeriesNumber") or 0) + REPETITION * kind.repetition
        classic.AcquisitionNumber = 1
        classic.EchoNumbers, classic.InstanceNumber = echoes.index(kind.echo_time) + 1, number + 1
        classic.PixelData = pixels[number].tobytes()
        classic.save_as(target / f"{number}.dcm", enforce_file_format=True)
    parts, repetitions = len({k.part for k in kinds}), len({k.repetition for k in kinds})
    return (
        f"{path.name}: enhanced DICOM divided into {len(kinds)} volumes: {len(echoes)} echo times, "
        f"{parts} parts, {repetitions} repetitions"
    )


def _classic(dataset: Any, frame: Any, part: str) -> Any:
    """Return a classic single-frame dataset without pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    classic = Dataset()
    for element in dataset:
        if element.keyword not in _LEFT_OUT:
            classic[element.tag] = copy(element)
    for name, fields in _GROUPS.items():
        item = functional_group(dataset, frame, name)
        for theirs, ours in fields.items() if item is not None else ():
            if item.get(theirs) is not None:
                setattr(classic, ours, item.get(theirs))
    classic.file_meta = FileMetaDataset()
    classic.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    classic.file_meta.MediaStorageSOPClassUID = classic.SOPClassUID = UID(CLASSIC_MR)
    classic.file_meta.MediaStorageSOPInstanceUID = classic.SOPInstanceUID = generate_uid()
    classic.ImageType = ["ORIGINAL", "PRIMARY", _LETTERS[part], "NONE"]
    sequence = str(dataset.get("EchoPulseSequence") or "")
    if sequence and "ScanningSequence" not in classic:
        classic.ScanningSequence = "GR" if sequence == "GRADIENT" else "SE"
        if dataset.get("EchoPlanarPulseSequence") == "YES":
            classic.ScanningSequence = "EP"
    return classic
