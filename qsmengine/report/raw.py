"""Raw dataset that a folder of results was made from, where it is still there."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qsmengine.errors import InputError
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.sidecars import read_json
from qsmengine.modalities.raw import RawSeries
from qsmengine.report.records import ReconstructedSeries

_RAW = "bids:raw:"


@lru_cache(4)
def raw_dataset(out: Path) -> Path | None:
    """Return the raw dataset that the description of the results links to; None if it is not there."""
    try:
        links = read_json(out / "dataset_description.json").get("DatasetLinks")
    except InputError:
        return None
    link = links.get("raw") if isinstance(links, dict) else None
    if not isinstance(link, str):
        return None
    raw = Path(unquote(urlsplit(link).path)) if link.startswith("file:") else out / link
    return raw if raw.is_dir() else None


def raw_images(one: ReconstructedSeries) -> list[str]:
    """Return the inputs in the raw dataset that are images, relative to the dataset."""
    uris = (str(entry.get("URI", "")) for entry in one.record.get("Inputs", ()))
    names = (uri.removeprefix(_RAW) for uri in uris if uri.startswith(_RAW))
    return [name for name in names if name.endswith((".nii", ".nii.gz"))]


def raw_series(out: Path, one: ReconstructedSeries) -> RawSeries | None:
    """Return the raw images of a reconstruction; None if one of them is not there, or is not named in BIDS."""
    root, names = raw_dataset(out), raw_images(one)
    if root is None or not names or not all((root / name).is_file() for name in names):
        return None
    try:
        files = [BidsFile(name, BidsName.parse(Path(name).name), Path(name).parent.name) for name in names]
    except InputError:
        return None
    configuration = one.record.get("Configuration")
    settings = configuration.get("input", {}) if isinstance(configuration, dict) else {}
    return RawSeries(root, files, settings if isinstance(settings, dict) else {}, one.find)
