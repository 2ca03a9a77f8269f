"""Bolus series among DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from qsmengine.io.bids import BidsName
from qsmengine.io.dsc import FEWEST_FRAMES
from qsmengine.io.header import read_header
from qsmengine.modalities.dicom import DicomSeries, Named, Recognised, Scan, Verdict

_WORDS = re.compile(r"perf|dsc|pwi|bolus|t2\*?.?first.?pass", re.IGNORECASE)
_LABELLING = re.compile(r"asl|casl|pasl|label", re.IGNORECASE)
_AGENT = ("ContrastBolusAgent", "ContrastBolusIngredient")


def _recognise(scan: Scan, _: Sequence[Scan]) -> Verdict:
    """Recognise magnitudes with many frames and an agent or a familiar name; spin labelling has neither."""
    if scan.part != "mag" or scan.source.bval is not None or _LABELLING.search(scan.names):
        return Verdict()
    if not (_WORDS.search(scan.names) or any(scan.fields.get(name) for name in _AGENT)):
        return Verdict()
    shape = read_header(scan.source.image)[0].shape
    return Verdict("dsc" if len(shape) == 4 and shape[3] >= FEWEST_FRAMES else "")


def _names(images: Sequence[Recognised], entities: Mapping[str, str], _notes: list[str]) -> Iterator[Named]:
    """Name the echoes of every series; several series are runs."""
    series: dict[int, list[Scan]] = {}
    for image in images:
        series.setdefault(image.scan.source.series_number, []).append(image.scan)
    for run, echoes in enumerate(series.values(), start=1):
        more = {"run": str(run)} if len(series) > 1 else {}
        for echo, scan in enumerate(sorted(echoes, key=lambda one: one.echo_time), start=1):
            own = {**entities, **more, **({"echo": str(echo)} if len(echoes) > 1 else {})}
            yield Named(BidsName(own, "dsc"), scan, {})


DICOM = DicomSeries(kinds=("dsc",), recognise=_recognise, folder="perf", names=_names)
