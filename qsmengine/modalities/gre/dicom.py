"""Gradient echoes among DICOM series: recognition, acquisitions and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.bids import BidsName
from qsmengine.io.header import read_header
from qsmengine.io.nifti import read_stored
from qsmengine.io.phase import PhaseFile, detect_units
from qsmengine.modalities.dicom import DicomSeries, Named, Part, Recognised, Scan, Verdict
from qsmengine.modalities.dicom_volumes import T2STAR_WORDS, gradient_echo_problem

_WORDS = re.compile(rf"{T2STAR_WORDS}|gre|flash|fl[23]d|ffe|spgr", re.IGNORECASE)
_PAIRS = ({"mag", "phase"}, {"real", "imag"})


@dataclass
class _Acquisition:
    """Images of one acquisition, by part."""

    parts: dict[Part, list[Scan]] = field(default_factory=dict)

    def takes(self, part: Part, images: Sequence[Scan]) -> bool:
        """Return whether a part belongs to this acquisition: same echo times and grid, and not yet present."""
        if part in self.parts:
            return False
        own = next(iter(self.parts.values()))
        return _times(own) == _times(images) and _same_grid(own[0], images[0])


def _recognise(scan: Scan, others: Sequence[Scan]) -> Verdict:
    """Recognise gradient echoes without inversion.

    They have several echoes, a part other than magnitude, or a name typical of such series.
    """
    if problem := gradient_echo_problem(scan, others):
        return Verdict(reason=problem)
    if not scan.inverted and (scan.part != "mag" or _has_echoes(scan, others) or _WORDS.search(scan.names)):
        return Verdict("gre")
    return Verdict(reason="a single gradient echo with magnitude only and no familiar name")


def _has_echoes(scan: Scan, others: Sequence[Scan]) -> bool:
    number = scan.source.series_number
    return len({one.fields.get("EchoTime") for one in others if one.source.series_number == number}) > 1


def _names(images: Sequence[Recognised], entities: Mapping[str, str], notes: list[str]) -> Iterator[Named]:
    """Name echoes and parts; several acquisitions are runs."""
    acquisitions = _acquisitions([image.scan for image in images])
    for run, acquisition in enumerate(acquisitions, start=1):
        more = {"run": str(run)} if len(acquisitions) > 1 else {}
        yield from _of_one(acquisition, {**entities, **more}, notes)


def _acquisitions(images: Sequence[Scan]) -> list[_Acquisition]:
    """Group images: a part joins the last acquisition with its echoes and grid that still lacks it."""
    groups: dict[tuple[int, Part], list[Scan]] = {}
    for image in images:
        groups.setdefault((image.source.series_number, image.part), []).append(image)
    acquisitions: list[_Acquisition] = []
    for (_, part), members in groups.items():
        ordered = sorted(members, key=lambda one: one.echo_time)
        home = next((a for a in reversed(acquisitions) if a.takes(part, ordered)), None)
        if home is None:
            home = _Acquisition()
            acquisitions.append(home)
        home.parts[part] = ordered
    return acquisitions


def _of_one(acquisition: _Acquisition, entities: Mapping[str, str], notes: list[str]) -> Iterator[Named]:
    if not any(pair <= set(acquisition.parts) for pair in _PAIRS):
        (part, (first, *_)), *_ = acquisition.parts.items()
        notes.append(f"{first.title}: no matching {'phase' if part == 'mag' else 'other part'}")
    for part, images in acquisition.parts.items():
        fields: dict[str, Any] = {"Units": _units(images, notes)} if part == "phase" else {}
        for echo, image in enumerate(images, start=1):
            own = {**entities, **({"echo": str(echo)} if len(images) > 1 else {}), "part": part}
            yield Named(BidsName(own, "MEGRE" if len(images) > 1 else "T2starw"), image, fields)


def _units(images: Sequence[Scan], notes: list[str]) -> str:
    """Return the BIDS Units of a phase series: "rad" if its values are radians, else "arbitrary"."""
    files = []
    for image in images:
        stored = read_stored(image.source.image)
        files.append(PhaseFile(stored.array, stored.header))
    try:
        units = detect_units(files)
    except InputError as error:
        notes.append(f"{images[0].title}: {error.message}")
        return "arbitrary"
    notes.append(f"{images[0].title}: phase in the range {units}")
    return "rad" if units in {"rad", "rad-0-2pi"} else "arbitrary"


def _times(images: Sequence[Scan]) -> list[float]:
    return [round(image.echo_time, 6) for image in images]


def _same_grid(one: Scan, other: Scan) -> bool:
    return read_header(one.source.image)[1].matches(read_header(other.source.image)[1])


DICOM = DicomSeries(kinds=("gre",), recognise=_recognise, folder="anat", names=_names, last=True)
