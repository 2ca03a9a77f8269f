"""Times of acquisition of the sessions in a folder of results, read in their raw dataset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qsmengine.errors import InputError
from qsmengine.io.inheritance import Folders
from qsmengine.io.sidecars import read_json
from qsmengine.pipeline.outputs.dataset import DESCRIPTION
from qsmengine.pipeline.outputs.scanner import acquisition_time
from qsmengine.report.records import ReconstructedSeries

_RAW = "bids:raw:"


def acquisition_times(out: Path, series: Iterable[ReconstructedSeries]) -> dict[str, datetime]:
    """Return session -> time of the first image of its first series that has one.

    Sessions whose raw dataset is not there, or has no times, are left out.
    """
    raw, folders = _raw_dataset(out), Folders()
    found: dict[str, datetime] = {}
    if raw is None:
        return found
    for one in series:
        image = None if one.session in found else _first_image(one)
        time = None if image is None else acquisition_time(raw / image, folders)
        if time is not None:
            found[one.session] = time
    return found


def _raw_dataset(out: Path) -> Path | None:
    """Return the raw dataset that the description of the results links to; None if there is none."""
    try:
        links = read_json(out / DESCRIPTION).get("DatasetLinks")
    except InputError:
        return None
    link = links.get("raw") if isinstance(links, dict) else None
    if not isinstance(link, str):
        return None
    raw = Path(unquote(urlsplit(link).path)) if link.startswith("file:") else out / link
    return raw if raw.is_dir() else None


def _first_image(one: ReconstructedSeries) -> str | None:
    """Return the first input in the raw dataset that is an image, relative to the dataset."""
    uris = (str(entry.get("URI", "")) for entry in one.record.get("Inputs", ()))
    images = (uri.removeprefix(_RAW) for uri in uris if uri.startswith(_RAW))
    return next((name for name in images if name.endswith((".nii", ".nii.gz"))), None)
