"""Recognition of T1-weighted images among converted DICOM series."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.modalities.dicom import DicomSeries, Scan, Verdict
from qsmengine.modalities.dicom_volumes import gradient_echo_problem, is_t1_weighted


def _recognise(scan: Scan, others: Sequence[Scan]) -> Verdict:
    found = is_t1_weighted(scan) and not gradient_echo_problem(scan, others)
    return Verdict("T1w" if found else "")


DICOM = DicomSeries(kinds=("T1w",), recognise=_recognise, folder="anat")
