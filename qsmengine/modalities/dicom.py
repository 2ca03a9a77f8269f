"""Recognition of DICOM series: what a modality declares, and what it is given to decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from qsmengine.io.bids import BidsName
from qsmengine.io.dicom import Converted

Part: TypeAlias = Literal["mag", "phase", "real", "imag"]

_TOKENS: dict[str, Part] = {
    "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag",
}  # fmt: skip
_ENDINGS: tuple[tuple[str, Part], ...] = (("_ph", "phase"), ("_imaginary", "imag"), ("_real", "real"))


@dataclass(frozen=True)
class Scan:
    """Converted image, with the properties by which a modality recognises it."""

    source: Converted

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields of the sidecar."""
        return self.source.fields

    @property
    def image_type(self) -> frozenset[str]:
        """Values of ImageType, in capitals."""
        return frozenset(str(token).upper() for token in _list(self.fields.get("ImageType")))

    @property
    def part(self) -> Part:
        """Part of the image, from dcm2niix's file ending or else from ImageType."""
        stem = self.source.image.stem
        for ending, part in _ENDINGS:
            if stem.endswith(ending) or re.search(rf"{ending}[a-z]$", stem):
                return part
        found = {_TOKENS[token] for token in self.image_type if token in _TOKENS}
        return found.pop() if len(found) == 1 else "mag"

    @property
    def names(self) -> str:
        """Names entered at the scanner: description of the series and protocol."""
        return f"{self.fields.get('SeriesDescription', '')} {self.fields.get('ProtocolName', '')}"

    @property
    def sequence(self) -> frozenset[str]:
        """Words of ScanningSequence, such as GR, EP, IR."""
        texts = _list(self.fields.get("ScanningSequence"))
        return frozenset(word for text in texts for word in re.split(r"\W", str(text)))

    @property
    def inverted(self) -> bool:
        """Whether an inversion pulse precedes the readout."""
        return "IR" in self.sequence or "InversionTime" in self.fields

    @property
    def echo_time(self) -> float:
        """EchoTime [s]; 0 if the sidecar has none."""
        value = self.fields.get("EchoTime", 0.0)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def title(self) -> str:
        """The series as the scanner names it."""
        return f"series {self.source.series_number} ({self.source.description})"


class Verdict(NamedTuple):
    """Whether an image belongs to a modality.

    Parameters
    ----------
    kind
        Kind of the image, one of the modality's; empty if it does not belong to the modality.
    reason
        Reason why an image that no modality recognises is left out; empty if the modality does not know.
    """

    kind: str = ""
    reason: str = ""


class Recognised(NamedTuple):
    """Image and its kind."""

    scan: Scan
    kind: str


class Named(NamedTuple):
    """Image, its name in the dataset, and fields to add to its sidecar."""

    name: BidsName
    scan: Scan
    fields: Mapping[str, Any]


Names: TypeAlias = Callable[[Sequence[Recognised], Mapping[str, str], list[str]], Iterator[Named]]


def numbered(images: Sequence[Recognised], entities: Mapping[str, str], _notes: list[str]) -> Iterator[Named]:
    """Name images after their kind, which is the BIDS suffix; repeats are runs, parts get the entity part."""
    for kind in dict.fromkeys(image.kind for image in images):
        scans = [image.scan for image in images if image.kind == kind]
        series = list(dict.fromkeys(scan.source.image for scan in scans if scan.part == "mag"))
        split = any(scan.part != "mag" for scan in scans)
        for scan in scans:
            own = dict(entities)
            if len(series) > 1:
                run = series.index(scan.source.image) + 1 if scan.part == "mag" else _run(scan, scans)
                own["run"] = str(run)
            if split:
                own["part"] = scan.part
            yield Named(BidsName(own, kind), scan, {})


def _run(scan: Scan, scans: Sequence[Scan]) -> int:
    """Return the run of a part other than magnitude: that of the preceding magnitude."""
    number = scan.source.series_number
    before = [one for one in scans if one.part == "mag" and one.source.series_number <= number]
    return max(1, len(before))


@dataclass(frozen=True)
class DicomSeries:
    """Recognition of a modality's series among converted DICOM images.

    Parameters
    ----------
    kinds
        Kinds of its images.
    recognise
        Image and all images of the session, itself included -> verdict.
    folder
        BIDS folder of its images.
    names
        Its images in the order of `kinds`, entities of the session, notes to extend -> named images.
    last
        Whether it is asked after all others, because it recognises its images by exclusion.
    """

    kinds: tuple[str, ...]
    recognise: Callable[[Scan, Sequence[Scan]], Verdict]
    folder: str
    names: Names = numbered
    last: bool = False


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]
