"""Label tables of other programs: a number and a name per line or element.

A file is read in the one form that all its lines have; a file without such a form is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

from qsmengine.errors import InputError

Row: TypeAlias = tuple[int, str]

LARGEST = 2**31 - 1
"""Largest label number: label images are read as int32."""

LONGEST = 1000
"""Largest number of characters after a line's number, so that no line takes the patterns long."""
_DIGITS = "0123456789"

KNOWN = (
    "BIDS dseg.tsv (index, name), CSV (Region_Index, Region_Name or LabelValue, Name), ITK-SNAP, FreeSurfer "
    "and 3D Slicer (number, name, R G B A), MRtrix (number, short name, name, R G B A), FSL's XML, number and "
    "name"
)
_COLOUR = r"\s+\d+\s+\d+\s+\d+(?:\s+[\d.]+)?"
_ITK_SNAP = re.compile(r'\s*(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+[01]\s+[01]\s+"(.*)"\s*')
_MRTRIX = re.compile(rf'\s*(\d+)\s+(\S+)\s+(?![\d.]+\s)("[^"]+"|\S+){_COLOUR}\s*')
_COLOURED = re.compile(rf"\s*(\d+)\s+(\S.*?){_COLOUR}\s*")
_PLAIN = re.compile(r"\s*(\d+)\s+(\S.*?)\s*")
_NUMBERS = re.compile(r"[\d.]+(\s|$)")


def read_rows(path: Path, text: str) -> list[Row]:
    """Return number and name of every label in a table without column names.

    Raises
    ------
    InputError
        Naming the first line that does not match.
    """
    if text.lstrip().startswith("<"):
        return _fsl_xml(path, text)
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    long = next((number for number, line in lines if len(line.lstrip(f"{_DIGITS} \t")) > LONGEST), None)
    if long is not None:
        raise InputError(
            f"line {long} has more than {LONGEST} characters after its number; known forms: {KNOWN}",
            source=path,
        )
    plain = [line for _, line in lines]
    if plain and all(_ITK_SNAP.fullmatch(line) for line in plain):
        found = [match for match in map(_ITK_SNAP.fullmatch, plain) if match]
        return [(label_number(match[1], path), match[2]) for match in found]
    if (mrtrix := _mrtrix(path, plain)) is not None:
        return mrtrix
    return [_coloured_or_plain(path, number, line) for number, line in lines]


def label_number(text: str, path: Path) -> int:
    """Return a label's number; InputError unless it is whole and between 0 and 2147483647."""
    if not text.isdecimal():
        raise InputError(f"label {text[:20]!r} is not a whole number >= 0", source=path, field="index")
    if len(text.lstrip("0")) > len(str(LARGEST)) or int(text) > LARGEST:
        raise InputError(f"label {text[:20]} is larger than {LARGEST}", source=path, field="index")
    return int(text)


def _mrtrix(path: Path, lines: Sequence[str]) -> list[Row] | None:
    """Return rows of MRtrix's form, with a distinct short name before each name; None for another form."""
    found = [match for match in map(_MRTRIX.fullmatch, lines) if match]
    short = [match[2] for match in found]
    if len(found) < len(lines) or len(set(short)) < len(short) or len(short) < 2:
        return None
    return [(label_number(match[1], path), match[3].strip('"')) for match in found]


def _coloured_or_plain(path: Path, number: int, line: str) -> Row:
    match = _COLOURED.fullmatch(line) or _PLAIN.fullmatch(line)
    if match is None or _NUMBERS.match(match[2]):
        raise InputError(
            f"line {number}: {line.strip()[:60]!r} is not a label in a known form: {KNOWN}", source=path
        )
    return label_number(match[1], path), match[2].strip('"')


def _fsl_xml(path: Path, text: str) -> list[Row]:
    """Return rows of an FSL atlas. Label images hold the index, maximum-probability images the index + 1."""
    if "<!" in text.replace("<!--", ""):
        raise InputError("declares a document type, which FSL atlases do not", source=path)
    try:
        root = ET.fromstring(text)  # noqa: S314  (no document type, hence no entities)
    except ET.ParseError as error:
        raise InputError(f"not XML: {error}", source=path) from None
    kind = (root.findtext("header/type") or "").strip().lower()
    labels = root.findall("data/label")
    if root.tag != "atlas" or not labels or kind not in {"label", "probabilistic"}:
        raise InputError(f"not an FSL atlas with labels and a type; known forms: {KNOWN}", source=path)
    shift = 1 if kind == "probabilistic" else 0
    rows = []
    for label in labels:
        value, index = label.get("value"), label.get("index", "")
        name = (label.text or "").strip()
        if not (value or index).isdecimal() or not name:
            raise InputError(f"a label needs index and name, got {label.attrib} {name!r}"[:120], source=path)
        number = label_number(index, path) + shift if value is None else label_number(value, path)
        rows.append((number, name))
    return rows
