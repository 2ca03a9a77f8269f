"""Coded concepts of DICOM: quantities of maps, and units in UCUM."""

from __future__ import annotations

from typing import Any, NamedTuple

from qsmengine.errors import InputError, UsageError


class Coded(NamedTuple):
    """Concept of a coding scheme: code value, scheme ("DCM", "SCT", "UCUM"), and meaning."""

    value: str
    scheme: str
    meaning: str


SUSCEPTIBILITY = Coded("126396", "DCM", "Magnetic Susceptibility")
R1 = Coded("126393", "DCM", "R1")
R2 = Coded("126394", "DCM", "R2")
R2_STAR = Coded("126395", "DCM", "R2*")
T1 = Coded("113063", "DCM", "T1")
T2 = Coded("113065", "DCM", "T2")
T2_STAR = Coded("113064", "DCM", "T2*")
PROTON_DENSITY = Coded("113058", "DCM", "Proton Density")
FRACTIONAL_ANISOTROPY = Coded("110808", "DCM", "Fractional Anisotropy")
MEAN_DIFFUSIVITY = Coded("113202", "DCM", "Mean Diffusivity")
RADIAL_DIFFUSIVITY = Coded("113203", "DCM", "Radial Diffusivity")
AXIAL_DIFFUSIVITY = Coded("113204", "DCM", "Axial Diffusivity")
MEAN_KURTOSIS = Coded("113205", "DCM", "Mean Kurtosis")
RADIAL_KURTOSIS = Coded("113207", "DCM", "Radial Kurtosis")
AXIAL_KURTOSIS = Coded("113208", "DCM", "Axial Kurtosis")
BLOOD_FLOW = Coded("126390", "DCM", "Absolute Regional Blood Flow")
BLOOD_VOLUME = Coded("126391", "DCM", "Absolute Regional Blood Volume")
RELATIVE_BLOOD_FLOW = Coded("126397", "DCM", "Relative Regional Blood Flow")
RELATIVE_BLOOD_VOLUME = Coded("126398", "DCM", "Relative Regional Blood Volume")
MEAN_TRANSIT_TIME = Coded("113052", "DCM", "Mean Transit Time")
TMAX = Coded("113084", "DCM", "Tmax")
TIME_TO_PEAK = Coded("113069", "DCM", "Time To Peak")
VOLUME = Coded("118565006", "SCT", "Volume")

_UCUM = {
    "ppm": ("[ppm]", "part per million"),
    "ppb": ("[ppb]", "part per billion"),
    "1/s": ("/s", "per second"),
    "s": ("s", "second"),
    "ms": ("ms", "millisecond"),
    "Hz": ("Hz", "hertz"),
    "rad": ("rad", "radian"),
    "1": ("1", "no units"),
    "%": ("%", "percent"),
    "1/1000": ("10*-3", "per thousand"),
    "um^2/s": ("um2/s", "square micrometer per second"),
    "mm^2/s": ("mm2/s", "square millimeter per second"),
    "mm^3": ("mm3", "cubic millimeter"),
    "mL/100 g": ("ml/(100.g)", "milliliter per 100 gram"),
    "mL/100 g/min": ("ml/(100.g.min)", "milliliter per 100 gram per minute"),
}
"""Unit as in sidecars -> code and meaning."""


def ucum(unit: str) -> Coded:
    """Return the UCUM code of a unit as sidecars state it; InputError, with the known units, for others."""
    if unit not in _UCUM:
        raise InputError(f"{unit!r} has no known UCUM code; known units: {', '.join(_UCUM)}", field="Units")
    return Coded(_UCUM[unit][0], "UCUM", _UCUM[unit][1])


def parse_coded(text: str) -> Coded:
    """Return the concept written as VALUE:SCHEME:MEANING; UsageError for other forms and texts too long."""
    parts = [part.strip() for part in text.split(":", 2)]
    if len(parts) != 3 or not all(parts) or max(len(p) for p in parts[:2]) > 16 or len(parts[2]) > 64:
        raise UsageError(
            f"quantity {text!r}: need CODE:SCHEME:MEANING, such as 126396:DCM:Magnetic Susceptibility, with at "
            "most 16, 16 and 64 characters"
        )
    return Coded(*parts)


def coded(concept: Coded) -> Any:
    """Return a concept in the form of pydicom and highdicom."""
    from pydicom.sr.coding import Code

    return Code(*concept)
