"""Target that reads enhanced DICOM whose elements are missing, of a wrong kind, nested or far too many."""
# ruff: noqa: E501

from __future__ import annotations

import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from qsmengine.io.enhanced import divide_enhanced
from tests.cohort.dicom_import.enhanced_making import SHAPE, EnhancedStudy
from tests.fuzz.choices import Choices
from tests.fuzz.mutations import damaged_text
from tests.fuzz.target import Target

WRONG: tuple[Any, ...] = (
    None, "", " ", "x", "nan", "inf", "1e400", "9" * 40, "0x10", "\u0661", b"", b"\xff\xfe", 0, -1, 2**31, 2**63, 1e300,
    float("nan"), float("inf"), [], [1, 2], ["a", "b"], [float("nan")] * 3, [1.0] * 500, "MAGNITUDE", "VELOCITY", "PHASE",
)  # fmt: skip
KINDS = ("DS", "IS", "FD", "US", "UL", "LO", "CS", "UN", "OW", "SQ", "UI")
NAMES = (
    "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel", "PixelRepresentation", "SeriesNumber",
    "PixelData", "SOPClassUID", "Manufacturer", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
    "MREchoSequence", "EffectiveEchoTime", "MRImageFrameTypeSequence", "ComplexImageComponent", "PlanePositionSequence",
    "ImagePositionPatient", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelSpacing", "MRDiffusionSequence",
    "PixelValueTransformationSequence", "RescaleSlope", "PhotometricInterpretation",
)  # fmt: skip


@cache
def _valid() -> bytes:
    rng = np.random.default_rng(20261202)
    keys = [(0, "MAGNITUDE", 6.0), (0, "PHASE", 6.0)]
    with tempfile.TemporaryDirectory() as folder:
        study = EnhancedStudy(Path(folder), "Philips")
        return study.write({key: rng.integers(0, 4096, SHAPE).astype(np.uint16) for key in keys}).read_bytes()


def make_enhanced(choices: Choices, folder: Path) -> None:
    dataset = pydicom.dcmread(BytesIO(_valid()))
    for _ in range(choices.pick((0, 1, 1, 2, 4))):
        _damage(choices, _place(choices, dataset))
    stream = BytesIO()
    try:
        dataset.save_as(stream)
    except Exception:  # noqa: BLE001 (what pydicom cannot write is damaged as bytes)
        stream = BytesIO(_valid())
    data = stream.getvalue()
    if choices.one_in(4):
        data = data[: choices.below(len(data) + 1)] + damaged_text(choices, "x" * 40)
    (folder / "series.dcm").write_bytes(data)


def _place(choices: Choices, dataset: Dataset) -> Dataset:
    """Return the dataset, or an item some sequences below it."""
    for _ in range(choices.pick((0, 1, 2, 3))):
        sequences = [element for element in dataset if element.VR == "SQ" and element.value]
        if not sequences:
            break
        dataset = choices.pick(choices.pick(sequences).value)
    return dataset


def _damage(choices: Choices, dataset: Dataset) -> None:
    """Remove, replace, retype or repeat an element, or add one that belongs elsewhere."""
    present = [element.keyword for element in dataset if element.keyword]
    name = choices.pick(NAMES if choices.one_in(3) or not present else present)
    kind = choices.below(4)
    try:
        if kind == 0:
            del dataset[name]
        elif kind == 1:
            setattr(dataset, name, choices.pick(WRONG))
        elif kind == 2:
            dataset[name].VR = choices.pick(KINDS)
        else:
            dataset[name].value = list(dataset[name].value) * choices.pick((0, 2, 30))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        pass


def read_enhanced(folder: Path) -> object:
    with tempfile.TemporaryDirectory() as scratch:
        place, notes = divide_enhanced(folder, Path(scratch) / "classic")
        files = [] if place == folder else sorted(place.rglob("*.dcm"))
        return notes, [pydicom.dcmread(path).pixel_array.astype("f8") for path in files]


TARGETS = (Target("enhanced", make_enhanced, read_enhanced),)
