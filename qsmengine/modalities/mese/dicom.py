"""Spin-echo trains among DICOM series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qsmengine.io.bids import BidsName
from qsmengine.modalities.dicom import DicomSeries, Named, Recognised, Scan, Verdict

FEWEST = 4
"""Fewest echoes of a train; a dual spin echo has two."""


def _recognise(scan: Scan, others: Sequence[Scan]) -> Verdict:
    """Recognise magnitudes of spin echoes whose series has four echo times or more."""
    if scan.part != "mag" or scan.inverted or "SE" not in scan.sequence or "EP" in scan.sequence:
        return Verdict()
    number = scan.source.series_number
    times = {round(one.echo_time, 6) for one in others if one.source.series_number == number}
    return Verdict("mese" if len(times) >= FEWEST else "")


def _names(images: Sequence[Recognised], entities: Mapping[str, str], _notes: list[str]) -> Iterator[Named]:
    """Number the echoes; several series are runs."""
    series: dict[int, list[Scan]] = {}
    for image in images:
        series.setdefault(image.scan.source.series_number, []).append(image.scan)
    for run, echoes in enumerate(series.values(), start=1):
        more = {"run": str(run)} if len(series) > 1 else {}
        for echo, scan in enumerate(sorted(echoes, key=lambda one: one.echo_time), start=1):
            yield Named(BidsName({**entities, **more, "echo": str(echo)}, "MESE"), scan, {})


DICOM = DicomSeries(kinds=("mese",), recognise=_recognise, folder="anat", names=_names)
