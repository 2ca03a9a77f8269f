"""Scanner and time of an acquisition, from sidecars and scans.tsv of the source."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_sidecar

FIELDS = (
    "Manufacturer", "ManufacturersModelName", "DeviceSerialNumber", "StationName", "SoftwareVersions",
)  # fmt: skip
TIME = "AcquisitionDateTime"


def scanner_facts(sources: Sequence[Path]) -> dict[str, str]:
    """Return the scanner and the time of the first image among the sources; absent fields are omitted.

    AcquisitionDateTime (ISO 8601) is that of the sidecar, or acq_time of ``*_scans.tsv``.
    """
    image = next((path for path in sources if path.name.endswith((".nii", ".nii.gz"))), None)
    if image is None:
        return {}
    try:
        values = read_sidecar(image).values
    except InputError:
        return {}
    found = {name: values[name] for name in FIELDS if isinstance(values.get(name), str)}
    time = _moment(values.get(TIME)) or _moment(_scan_time(image))
    return found | ({TIME: time} if time else {})


def _moment(text: object) -> str:
    """Return a date with time in ISO 8601; "" for other texts."""
    with suppress(ValueError):
        if isinstance(text, str) and "T" in text:
            return datetime.fromisoformat(text.strip()).isoformat()
    return ""


def _scan_time(image: Path) -> str:
    """Return acq_time of an image in the scans.tsv of its session; "" without one."""
    session = image.parent.parent
    wanted = f"{image.parent.name}/{image.name}"
    with suppress(OSError, UnicodeDecodeError, csv.Error):
        for table in sorted(session.glob("sub-*_scans.tsv")):
            with table.open(encoding="utf-8-sig", newline="") as stream:
                for row in csv.DictReader(stream, delimiter="\t"):
                    if row.get("filename") == wanted:
                        return row.get("acq_time") or ""
    return ""
