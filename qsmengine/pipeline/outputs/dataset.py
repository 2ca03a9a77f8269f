"""Shared files of a derivative dataset (description and .bidsignore), and URIs of its sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from qsmengine import version
from qsmengine.io.atomic import write_text
from qsmengine.io.bids import BidsName, write_dataset_description
from qsmengine.io.sidecars import read_json

DESCRIPTION, IGNORE = Path("dataset_description.json"), Path(".bidsignore")
TITLE = "Susceptibility and diffusion maps by qsmengine"
_IGNORED = (
    "*_prov.json", "*_stats.tsv", "*_stats.json", "*_desc-quality_*", "*_xfm.*", "*_desc-reference_*",
    "*_agreement.*",
    "*.html", "figures", "group",
)  # fmt: skip
"""Patterns of files other than maps that BIDS does not define."""
CONTAINER = {
    "Type": "QSMENGINE_CONTAINER_TYPE",
    "Tag": "QSMENGINE_CONTAINER_TAG",
    "URI": "QSMENGINE_CONTAINER_URI",
}
"""Entries for a container in GeneratedBy -> the environment variables in which images provide them."""


def shared_files(*, named: bool) -> tuple[Path, ...]:
    """Return the files at the root that sessions share; .bidsignore only for outputs `named` as in BIDS."""
    return (DESCRIPTION, IGNORE) if named else (DESCRIPTION,)


def write_shared_files(
    folder: Path,
    target: Path,
    raw: Path | None,
    ignored: Callable[[], Iterable[str]],
    *,
    named: bool,
    replace: bool = False,
) -> list[Path]:
    """Write the shared files that the dataset `target` lacks into `folder`; return paths relative to it.

    Their bytes depend only on the raw dataset and the location of `target`: every session writes the same.

    Parameters
    ----------
    folder, target
        Folder in which the files are written, and their final location.
    raw
        Root of the raw dataset; None if there is none.
    ignored
        Returns the patterns of all modalities' maps that BIDS does not define.
    named
        Whether the outputs have BIDS names.
    replace
        Replace an existing description.
    """
    written = []
    if replace or not (target / DESCRIPTION).is_file():
        link = None if raw is None else dataset_link(raw, target)
        write_dataset_description(
            folder,
            name=TITLE,
            version=version.__version__,
            source_datasets=() if raw is None or link is None else (source_dataset(raw, link),),
            links={} if link is None else {"raw": link},
            container=container(),
        )
        written.append(DESCRIPTION)
    if named and not (target / IGNORE).is_file():
        lines = ("# qsmengine: files that BIDS does not define yet", *ignored(), *_IGNORED)
        write_text(folder / IGNORE, "".join(f"{line}\n" for line in lines))
        written.append(IGNORE)
    return written


def raw_dataset_of(sources: Iterable[Path]) -> Path | None:
    """Return the raw dataset of the first source that lies in one; None if no source does."""
    return next((root for root in map(raw_dataset, sources) if root is not None), None)


def raw_dataset(path: Path) -> Path | None:
    """Return the root of a file's raw BIDS dataset or None; derivatives inside count as part of it."""
    for folder in path.resolve().parents:
        description = folder / DESCRIPTION
        if description.is_file() and read_json(description).get("DatasetType", "raw") == "raw":
            return folder
    return None


def source_uri(path: Path) -> str:
    """Return the BIDS URI of an input in a raw dataset (``bids:raw:sub-1/anat/...``), else its file name."""
    root = raw_dataset(path)
    return path.name if root is None else f"bids:raw:{path.resolve().relative_to(root).as_posix()}"


def dataset_link(raw: Path, target: Path) -> str:
    """Return the location of the raw dataset: relative to a `target` inside it, else as a file URI."""
    raw, target = raw.resolve(), target.resolve()
    if target.is_relative_to(raw):
        return "/".join([".."] * len(target.relative_to(raw).parts))
    return raw.as_uri()


def source_dataset(raw: Path, link: str) -> Mapping[str, str]:
    """Return the entry of SourceDatasets: the location of the raw dataset and, if present, its DOI."""
    doi = read_json(raw / DESCRIPTION).get("DatasetDOI")
    return {"URL": link, "DOI": doi} if isinstance(doi, str) and doi else {"URL": link}


def container() -> dict[str, str]:
    """Return the running container image, from the environment; empty outside a container."""
    found = {entry: os.environ[name] for entry, name in CONTAINER.items() if os.environ.get(name)}
    file = os.environ.get("APPTAINER_NAME") or os.environ.get("SINGULARITY_NAME")
    if file:
        found |= {"Type": "apptainer", "URI": Path(file).name}
    return found


def dataset_root(folder: Path, name: BidsName) -> Path | None:
    """Return ROOT if `folder` is ``ROOT/sub-X[/ses-Y]/DATATYPE`` of the file `name`, else None."""
    if "sub" not in name.entities:
        return None
    root, parts = folder.parent, name.folder.parts
    for part in reversed(parts):
        if root.name != part:
            return None
        root = root.parent
    return root
