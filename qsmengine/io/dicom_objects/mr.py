"""Classic MR images of a map: one file per slice, whole numbers, one scale and one window for all slices."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.io.dicom_objects.codes import coded, ucum
from qsmengine.io.dicom_objects.identity import add_body_part, finish, new_instance, series_number
from qsmengine.io.dicom_objects.quantity import Quantity
from qsmengine.io.enhanced import CLASSIC_MR

_COPIED = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "FlipAngle",
    "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "PatientPosition",
    "ProtocolName",
)  # fmt: skip
_DEFAULTS = {
    "ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": "", "MRAcquisitionType": "",
    "RepetitionTime": None, "PatientPosition": "",
}  # fmt: skip
"""Attributes required of MR images that the source may lack; RM is the research mode."""


_MOST = (5.0, 95.0)
"""Percentiles between which most voxels with a value lie."""
LEAST_STEPS = 8
"""Least number of stored values between them."""


class Scale(NamedTuple):
    """Linear scale: value = slope * stored + intercept."""

    slope: float
    intercept: float
    bits: int

    def stored(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the nearest stored values."""
        return np.rint((values - self.intercept) / self.slope).astype(np.int64)


def scale_of(low: float, high: float, bits: int) -> Scale:
    """Return the scale for values between `low` and `high`, of which one stored value means exactly 0.

    16 bits: signed, intercept 0, so that stored 0 means 0. 12 bits: 0 to 4095, the range of scanners, for
    receivers that accept no other. The step is 1, 2 or 5 times a power of ten, the smallest that fits.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    needed = max(-low, high) / 32767 if bits == 16 else (high - low) / 4094
    if not needed:
        return Scale(1.0, 0.0, bits)
    power = math.floor(math.log10(needed))
    step = min(
        step
        for exponent in (power, power + 1)
        for digit in (1, 2, 5)
        if (step := float(f"{digit}e{exponent}")) >= needed
    )
    intercept = 0.0 if bits == 16 else float(f"{-step * math.ceil(-low / step):.12g}") + 0.0
    return Scale(step, intercept, bits)


def mr_images(
    quantity: Quantity, headers: list[Any], index: int, bits: int = 16, *, matched: bool
) -> list[bytes]:
    """Return the files of a series of classic MR images, in the order of the slices.

    Parameters
    ----------
    quantity
        Map.
    headers
        Headers of the reference volume.
    index
        Number of the series among the exported ones, from 0.
    bits
        16: signed 16-bit numbers; 12: 0 to 4095.
    matched
        Whether the headers are those of the same slices, to which the images then refer.

    Raises
    ------
    InputError
        If a few extreme values leave too few steps for all others.
    """
    unit, factor = quantity.whole_unit
    values = quantity.values.astype(np.float64) * factor
    scale = scale_of(float(values.min()), float(values.max()), bits)
    _check_resolved(values, scale)
    stored = scale.stored(values)
    objects = []
    for place, frame in enumerate(stored):
        source = headers[place] if matched and len(headers) == len(stored) else headers[0]
        made = new_instance(source, CLASSIC_MR, "MR", series_number(headers[0], index), place + 1)
        add_body_part(made, source)
        _describe(made, source, quantity, unit, scale)
        _geometry(made, quantity, place)
        _window(made, quantity, factor)
        _pixels(made, frame, scale)
        _mapping(made, quantity, unit, scale, stored)
        if matched:
            made.SourceImageSequence = [_reference(source)]
        objects.append(made)
    return finish(objects, headers[0])


def _check_resolved(values: npt.NDArray[np.float64], scale: Scale) -> None:
    """Raise InputError if fewer than `LEAST_STEPS` steps of the scale lie between the values of most voxels."""
    known = values[values != 0]
    low, high = np.percentile(known, _MOST).tolist() if known.size else (0.0, 0.0)
    spread = max(high - low, 0.01 * max(-low, high))
    if scale.slope * LEAST_STEPS > spread > 0:
        raise InputError(
            f"90 % of the values lie between {low:.3g} and {high:.3g}, all between {values.min():.3g} and "
            f"{values.max():.3g}: steps of {scale.slope:g}, which {scale.bits} bits allow, do not resolve "
            "them; remove the extreme values, or write --as parametric-map"
        )


def _describe(made: Any, source: Any, quantity: Quantity, unit: str, scale: Scale) -> None:
    for keyword in _COPIED:
        if keyword in source and source[keyword].value not in (None, ""):
            setattr(made, keyword, source[keyword].value)
        elif keyword in _DEFAULTS:
            setattr(made, keyword, _DEFAULTS[keyword])
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER", "QSM"]
    made.EchoTime = made.EchoTrainLength = None
    made.SeriesDescription = f"{quantity.title} [{unit}]"[:64]
    made.DerivationDescription = (
        f"{quantity.code.meaning} in {unit}: {scale.slope:g} x stored {scale.intercept:+g}; "
        f"stored {scale.stored(np.zeros(1))[0]} means 0 or no value"
    )
    made.BurnedInAnnotation, made.LossyImageCompression = "NO", "00"


def _geometry(made: Any, quantity: Quantity, place: int) -> None:
    from pydicom.valuerep import DSfloat

    planes = quantity.planes
    between, rows, columns = planes.spacing

    def decimal(values: list[float]) -> list[Any]:
        return [DSfloat(value, auto_format=True) for value in values]

    made.ImageOrientationPatient = decimal(planes.orientation)
    made.ImagePositionPatient = decimal(planes.position(place))
    made.PixelSpacing = decimal([rows, columns])
    made.SliceThickness = made.SpacingBetweenSlices = decimal([between])[0]


def _window(made: Any, quantity: Quantity, factor: float) -> None:
    low, high = (value * factor for value in quantity.shown)
    made.WindowCenter, made.WindowWidth = f"{(low + high) / 2:.6g}", f"{high - low:.6g}"
    made.WindowCenterWidthExplanation = "same for all slices"
    made.VOILUTFunction = "LINEAR" if (high - low) >= 1 else "LINEAR_EXACT"


def _pixels(made: Any, frame: npt.NDArray[np.int64], scale: Scale) -> None:
    signed = scale.bits == 16
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = frame.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, scale.bits, scale.bits - 1
    made.PixelRepresentation = int(signed)
    made.PixelData = frame.astype("<i2" if signed else "<u2").tobytes()


def _mapping(made: Any, quantity: Quantity, unit: str, scale: Scale, stored: npt.NDArray[np.int64]) -> None:
    """Add the scale as every reader knows it, and with coded quantity and unit."""
    from highdicom.pm import RealWorldValueMapping

    made.RescaleSlope, made.RescaleIntercept = f"{scale.slope:.12g}", f"{scale.intercept:.12g}"
    made.RescaleType = unit
    made.RealWorldValueMappingSequence = [
        RealWorldValueMapping(
            lut_label=quantity.code.meaning[:16],
            lut_explanation=f"{quantity.code.meaning} in {unit}",
            unit=coded(ucum(unit)),
            value_range=(int(stored.min()), int(stored.max())),
            slope=scale.slope,
            intercept=scale.intercept,
            quantity_definition=coded(quantity.code),
        )
    ]


def _reference(source: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item
