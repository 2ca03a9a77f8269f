"""Diffusion-weighted images and their single-band references among DICOM series."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qsmengine.modalities.dicom import DicomSeries, Scan, Verdict

_SBREF = re.compile(r"sb_?ref|single.?band", re.IGNORECASE)


def _recognise(scan: Scan, _: Sequence[Scan]) -> Verdict:
    """Recognise diffusion by its gradient table, references by their names."""
    if scan.source.bval is not None:
        return Verdict("dwi")
    return Verdict("sbref" if _SBREF.search(scan.names) else "")


DICOM = DicomSeries(kinds=("dwi", "sbref"), recognise=_recognise, folder="dwi")
