"""Volumes of gradient-echo sequences among DICOM series: which are usable, and which are T1-weighted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.header import read_header
from qsmengine.modalities.dicom import Scan

T2STAR_WORDS = r"qsm|swi|t2[-_ ]?star|t2\*|t2s|medi|aspire|swan|multi-?echo|megre"
"""Pattern of names typical of T2*-weighted series."""
_T2STAR = re.compile(T2STAR_WORDS, re.IGNORECASE)
_T1 = re.compile(r"(^|[^a-z0-9])t1|t1w|mprage|mp-rage|bravo|ir-?fspgr", re.IGNORECASE)


def gradient_echo_problem(scan: Scan, others: Sequence[Scan]) -> str:
    """Return the reason why an image is not a volume of gradient echoes; empty if it is one."""
    return _not_a_volume(scan) or _of_a_field_map(scan, others) or _no_gradient_echo(scan)


def is_t1_weighted(scan: Scan) -> bool:
    """Return whether a gradient-echo volume is T1-weighted: a magnitude with an inversion or a T1 name."""
    named = _T1.search(scan.names) is not None and _T2STAR.search(scan.names) is None
    return scan.part == "mag" and (scan.inverted or named)


def _of_a_field_map(scan: Scan, others: Sequence[Scan]) -> str:
    """Return the role of an image in a field map; empty if it does not belong to one.

    A field map has two magnitudes and one phase image, the difference of the two echoes. Converters write
    EchoTime1 and EchoTime2 from the protocol for multi-echo series as well as for field maps, so these two
    fields alone are not conclusive.
    """
    if _is_difference(scan, others):
        return "phase difference of a field map"
    mine = scan.fields
    for other in others:
        theirs = other.fields
        same = all(mine.get(name) == theirs.get(name) for name in ("SeriesDescription", "ProtocolName"))
        if same and mine.get("EchoTime") in _two_times(theirs) and _is_difference(other, others):
            return "magnitude of a field map"
    return ""


def _is_difference(scan: Scan, others: Sequence[Scan]) -> bool:
    """Return whether a phase image is the difference of two echoes: the only one, not at the first echo."""
    times = _two_times(scan.fields)
    if not times or scan.part != "phase" or scan.fields.get("EchoTime") == times[0]:
        return False
    own = scan.fields.get("EchoTime")
    related = (other for other in others if other.part == "phase" and _same_series(scan, other))
    return all(other.fields.get("EchoTime") == own for other in related)


def _two_times(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return EchoTime1 and EchoTime2; empty if they are missing."""
    times = fields.get("EchoTime1"), fields.get("EchoTime2")
    return () if None in times or times[0] == times[1] else times


def _same_series(scan: Scan, other: Scan) -> bool:
    """Return whether two images belong to one series, or to series with the same name."""
    name = scan.fields.get("SeriesDescription")
    return other.source.series_number == scan.source.series_number or (
        name is not None and other.fields.get("SeriesDescription") == name
    )


def _no_gradient_echo(scan: Scan) -> str:
    if "EP" in scan.sequence:
        return "echo-planar series without a gradient table"
    if "GR" not in scan.sequence:
        return "no gradient-echo sequence"
    return "" if isinstance(scan.fields.get("EchoTime"), int | float) else "EchoTime: not in the DICOM files"


def _not_a_volume(scan: Scan) -> str:
    """Return the reason why an image is not a three-dimensional volume; empty if it is one."""
    try:
        shape = read_header(scan.source.image)[0].shape
    except InputError as error:
        return error.message
    if len(shape) > 3:
        return f"a time series of shape {shape}"
    return f"{min(shape)} slices: a localiser" if min(shape) < 3 else ""
