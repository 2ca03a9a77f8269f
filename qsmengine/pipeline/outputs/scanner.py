"""Scanner of an acquisition, for provenance; its time, which stays in the raw dataset."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.inheritance import Folders
from qsmengine.io.sidecars import read_sidecar

FIELDS = (
    "Manufacturer", "ManufacturersModelName", "DeviceSerialNumber", "StationName", "SoftwareVersions",
    "MRAcquisitionType",
)  # fmt: skip


def scanner_facts(sources: Sequence[Path]) -> dict[str, str]:
    """Return the scanner of the first image among the sources; absent fields are omitted."""
    image = next((path for path in sources if path.name.endswith((".nii", ".nii.gz"))), None)
    if image is None:
        return {}
    try:
        values = read_sidecar(image).values
    except InputError:
        return {}
    return {name: values[name] for name in FIELDS if isinstance(values.get(name), str)}


def acquisition_time(image: Path, folders: Folders) -> datetime | None:
    """Return when an image was acquired; None if its dataset does not say.

    AcquisitionDateTime (ISO 8601) of the sidecar counts, or else acq_time of ``*_scans.tsv``. Dates can
    identify a patient: no output contains them.
    """
    try:
        text = read_sidecar(image, folders).values.get("AcquisitionDateTime")
    except InputError:
        text = None
    return _moment(text) or _moment(_scan_time(image))


def _moment(text: object) -> datetime | None:
    """Return a date with time in ISO 8601, without its zone; None for other texts."""
    with suppress(ValueError):
        if isinstance(text, str) and "T" in text:
            return datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    return None


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
