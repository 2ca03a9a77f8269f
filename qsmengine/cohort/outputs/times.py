"""Time of acquisition of a session in a folder of results, read in its raw dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qsmengine.errors import InputError
from qsmengine.io.inheritance import Folders
from qsmengine.io.sidecars import read_json
from qsmengine.pipeline.outputs.dataset import DESCRIPTION
from qsmengine.pipeline.outputs.scanner import acquisition_time
from qsmengine.report.records import ReconstructedSeries

_RAW = "bids:raw:"


def session_time(out: Path, series: Iterable[ReconstructedSeries]) -> datetime | None:
    """Return the time of the first image of a session; None if its raw dataset is not there or has no times."""
    raw = _raw_dataset(out)
    images = () if raw is None else (raw / name for one in series for name in _images(one))
    times = (acquisition_time(image, Folders()) for image in images)
    return next((time for time in times if time is not None), None)


@lru_cache(4)
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


def _images(one: ReconstructedSeries) -> Iterator[str]:
    """Yield the first input in the raw dataset that is an image, relative to the dataset."""
    uris = (str(entry.get("URI", "")) for entry in one.record.get("Inputs", ()))
    names = (uri.removeprefix(_RAW) for uri in uris if uri.startswith(_RAW))
    yield from islice((name for name in names if name.endswith((".nii", ".nii.gz"))), 1)
