"""Classification of converted DICOM series: gradient echoes, diffusion or T1-weighted, and the part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qsmengine.errors import InputError
from qsmengine.io.dicom import Converted
from qsmengine.io.header import read_header

What: TypeAlias = Literal["gre", "dwi", "sbref", "T1w"]
Part: TypeAlias = Literal["mag", "phase", "real", "imag"]

_T2STAR_WORDS = re.compile(r"qsm|swi|t2[-_ ]?star|t2\*|t2s|medi|aspire|swan|multi-?echo|megre", re.IGNORECASE)
_GRE_WORDS = re.compile(rf"{_T2STAR_WORDS.pattern}|gre|flash|fl[23]d|ffe|spgr", re.IGNORECASE)
_T1_WORDS = re.compile(r"(^|[^a-z0-9])t1|t1w|mprage|mp-rage|bravo|ir-?fspgr", re.IGNORECASE)
_SBREF = re.compile(r"sb_?ref|single.?band", re.IGNORECASE)
_DERIVED = frozenset(
    {
        "DERIVED",
        "ADC",
        "TRACEW",
        "FA",
        "TENSOR",
        "COLFA",
        "MNIP",
        "MIP",
        "SWI",
        "SW",
        "MINIMUM",
        "MPR",
        "PROJECTION IMAGE",
    }
)
_TOKENS: dict[str, Part] = {
    "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag",
}  # fmt: skip
_ENDINGS: tuple[tuple[str, Part], ...] = (("_ph", "phase"), ("_imaginary", "imag"), ("_real", "real"))


@dataclass(frozen=True)
class Recognised:
    """A converted image and its classification."""

    source: Converted
    what: What
    part: Part = "mag"

    @property
    def echo_time(self) -> float:
        """EchoTime [s]; 0 if the sidecar has none."""
        value = self.source.fields.get("EchoTime", 0.0)
        return float(value) if isinstance(value, int | float) else 0.0


@dataclass(frozen=True)
class Unrecognised:
    """A converted image that is left out, with the reason."""

    source: Converted
    reason: str

    @property
    def text(self) -> str:
        """Return a readable line that names the series as the scanner does."""
        return f"series {self.source.series_number} ({self.source.description}): {self.reason}"


def recognise(image: Converted, others: Sequence[Converted]) -> Recognised | Unrecognised:
    """Classify an image; `others` are all images of the session, itself included.

    Gradient echoes come from a gradient-echo sequence without inversion and have several echoes, a part other
    than magnitude, or a name typical of such series. Derived images are left out.
    """
    fields = image.fields
    tokens = {str(token).upper() for token in _list(fields.get("ImageType"))}
    if derived := tokens & _DERIVED:
        return Unrecognised(image, f"derived image ({', '.join(sorted(derived))})")
    part = _part(image, tokens)
    names = f"{fields.get('SeriesDescription', '')} {fields.get('ProtocolName', '')}"
    if image.bval is not None or _SBREF.search(names):
        return Recognised(image, "sbref" if image.bval is None else "dwi", part)
    sequence = {word for text in _list(fields.get("ScanningSequence")) for word in re.split(r"\W", str(text))}
    if problem := _not_a_volume(image) or _of_a_field_map(image, others) or _no_gradient_echo(fields, sequence):
        return Unrecognised(image, problem)
    inverted = "IR" in sequence or "InversionTime" in fields
    if part == "mag" and (inverted or (_T1_WORDS.search(names) and not _T2STAR_WORDS.search(names))):
        return Recognised(image, "T1w")
    if not inverted and (part != "mag" or _has_echoes(image, others) or _GRE_WORDS.search(names)):
        return Recognised(image, "gre", part)
    return Unrecognised(image, "a single gradient echo with magnitude only and no familiar name")


def _of_a_field_map(image: Converted, others: Sequence[Converted]) -> str:
    """Return the role of an image in a field map; empty if it does not belong to one.

    A field map has two magnitudes and one phase image, the difference of the two echoes. Converters write
    EchoTime1 and EchoTime2 from the protocol for multi-echo series as well as for field maps, so these two
    fields alone are not conclusive.
    """
    if _is_difference(image, others):
        return "phase difference of a field map"
    mine = image.fields
    for other in others:
        theirs = other.fields
        same = all(mine.get(name) == theirs.get(name) for name in ("SeriesDescription", "ProtocolName"))
        if same and mine.get("EchoTime") in _two_times(theirs) and _is_difference(other, others):
            return "magnitude of a field map"
    return ""


def _is_difference(image: Converted, others: Sequence[Converted]) -> bool:
    """Return whether a phase image is the difference of two echoes: the only one, not at the first echo."""
    times = _two_times(image.fields)
    if not times or not _is_phase(image) or image.fields.get("EchoTime") == times[0]:
        return False
    own = image.fields.get("EchoTime")
    akin = (other for other in others if _is_phase(other) and _akin(image, other))
    return all(other.fields.get("EchoTime") == own for other in akin)


def _two_times(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return EchoTime1 and EchoTime2; empty if they are missing."""
    times = fields.get("EchoTime1"), fields.get("EchoTime2")
    return () if None in times or times[0] == times[1] else times


def _akin(image: Converted, other: Converted) -> bool:
    """Return whether two images belong to one series, or to series with the same name."""
    name = image.fields.get("SeriesDescription")
    return other.series_number == image.series_number or (
        name is not None and other.fields.get("SeriesDescription") == name
    )


def _is_phase(image: Converted) -> bool:
    return _part(image, {str(token).upper() for token in _list(image.fields.get("ImageType"))}) == "phase"


def _no_gradient_echo(fields: Mapping[str, Any], sequence: set[str]) -> str:
    """Return the reason why a volume is not a gradient echo; empty if it is one."""
    if "EP" in sequence:
        return "echo-planar series without a gradient table"
    if "GR" not in sequence:
        return "no gradient-echo sequence"
    return "" if isinstance(fields.get("EchoTime"), int | float) else "EchoTime: not in the DICOM files"


def _part(image: Converted, tokens: set[str]) -> Part:
    """Return the part of an image, from dcm2niix's file ending or else from ImageType."""
    stem = image.image.stem
    for ending, part in _ENDINGS:
        if stem.endswith(ending) or re.search(rf"{ending}[a-z]$", stem):
            return part
    found = {_TOKENS[token] for token in tokens if token in _TOKENS}
    return found.pop() if len(found) == 1 else "mag"


def _has_echoes(image: Converted, others: Sequence[Converted]) -> bool:
    times = {other.fields.get("EchoTime") for other in others if other.series_number == image.series_number}
    return len(times) > 1


def _not_a_volume(image: Converted) -> str:
    """Return the reason why an image is not a three-dimensional volume; empty if it is one."""
    try:
        shape = read_header(image.image)[0].shape
    except InputError as error:
        return error.message
    if len(shape) > 3:
        return f"a time series of shape {shape}"
    return f"{min(shape)} slices: a localiser" if min(shape) < 3 else ""


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]
