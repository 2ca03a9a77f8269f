"""Classification of converted DICOM series by the modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qsmengine.modalities.dicom import DicomSeries, Recognised, Scan
from qsmengine.modalities.registry import all_modalities

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


class Unrecognised(NamedTuple):
    """Image that is left out, with the reason."""

    scan: Scan
    reason: str

    @property
    def text(self) -> str:
        """Return a readable line that names the series as the scanner does."""
        return f"{self.scan.title}: {self.reason}"


def all_series() -> list[DicomSeries]:
    """Return what can be imported: the series of every modality."""
    return [one.dicom for one in all_modalities() if one.dicom is not None]


def recognise(scan: Scan, others: Sequence[Scan]) -> Recognised | Unrecognised:
    """Classify an image; `others` are all images of the session, itself included.

    Derived images are left out. Any other image belongs to the first modality that recognises it; modalities
    that work by exclusion are asked last. The reason for leaving an image out is the first one given.
    """
    if scan.source.uneven:
        return Unrecognised(scan, "its slices are not equidistant: some are missing or double; export it again")
    if derived := scan.image_type & _DERIVED:
        return Unrecognised(scan, f"derived image ({', '.join(sorted(derived))})")
    reasons = []
    for series in sorted(all_series(), key=lambda one: one.last):
        kind, reason = series.recognise(scan, others)
        if kind:
            return Recognised(scan, kind)
        reasons += [reason] if reason else []
    return Unrecognised(scan, reasons[0] if reasons else "belongs to no modality")
