"""Spoiled gradient echoes at several flip angles among DICOM series."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from qsmengine.io.bids import BidsName
from qsmengine.modalities.dicom import DicomSeries, Named, Recognised, Scan, Verdict

_WORDS = re.compile(
    r"vfa|despot|mpm|variable.?flip|multi.?flip|t1.?map|(^|[\W_])(fa|flip)[\W_]?\d", re.IGNORECASE
)
_TRANSFER = re.compile(r"(^|[\W_])mt([\W_]?on|w)?($|[\W_])", re.IGNORECASE)


def _belongs(scan: Scan) -> bool:
    """Return whether an image may be part of such a series: gradient echoes with a familiar name."""
    gradient = not scan.sequence or bool(scan.sequence & {"GR", "RM"})
    if not gradient or "EP" in scan.sequence or scan.inverted or scan.part not in {"mag", "phase"}:
        return False
    return bool(_WORDS.search(scan.names)) and not _TRANSFER.search(scan.names) and _flip(scan) > 0


def _flip(scan: Scan) -> float:
    value = scan.fields.get("FlipAngle", 0.0)
    return round(float(value), 3) if isinstance(value, int | float) else 0.0


def _recognise(scan: Scan, others: Sequence[Scan]) -> Verdict:
    """Recognise images of which the session has several flip angles."""
    if not _belongs(scan):
        return Verdict()
    return Verdict("vfa" if len({_flip(one) for one in others if _belongs(one)}) > 1 else "")


def _names(images: Sequence[Recognised], entities: Mapping[str, str], _notes: list[str]) -> Iterator[Named]:
    """Number the flip angles and, if there are several, the echoes; repeats are runs."""
    scans = [image.scan for image in images]
    flips = sorted({_flip(scan) for scan in scans})
    times = sorted({round(scan.echo_time, 6) for scan in scans})
    own: list[dict[str, str]] = []
    for scan in scans:
        labels = {"flip": str(flips.index(_flip(scan)) + 1)}
        if len(times) > 1:
            labels["echo"] = str(times.index(round(scan.echo_time, 6)) + 1)
        if any(one.part == "phase" for one in scans):
            labels["part"] = scan.part
        own.append(labels)
    total = Counter(tuple(labels.items()) for labels in own)
    seen: Counter[tuple[tuple[str, str], ...]] = Counter()
    for scan, labels in zip(scans, own, strict=True):
        key = tuple(labels.items())
        seen[key] += 1
        run = {"run": str(seen[key])} if max(total.values()) > 1 else {}
        yield Named(BidsName({**entities, **run, **labels}, "VFA"), scan, {})


DICOM = DicomSeries(kinds=("vfa",), recognise=_recognise, folder="anat", names=_names)
