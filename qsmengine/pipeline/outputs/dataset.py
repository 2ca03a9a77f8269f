"""What all sessions of a derivative dataset share: its description, its .bidsignore, URIs of its sources."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from qsmengine import version
from qsmengine.io.atomic import write_text
from qsmengine.io.bids import BidsName, write_dataset_description
from qsmengine.io.sidecars import read_json

DESCRIPTION, IGNORE = Path("dataset_description.json"), Path(".bidsignore")
TITLE = "Susceptibility and diffusion maps by qsmengine"
BIDSIGNORE = """\
# qsmengine: what BIDS has no name for yet
*_fieldmap.*
*_swi.*
*_minIP.*
*_dwimap.*
*_prov.json
*_stats.tsv
*_stats.json
*.html
figures
group
"""
CONTAINER = {
    "Type": "QSMENGINE_CONTAINER_TYPE",
    "Tag": "QSMENGINE_CONTAINER_TAG",
    "URI": "QSMENGINE_CONTAINER_URI",
}
"""Entries of a container in GeneratedBy, and the environment variables that images set for them."""


def shared_files(*, named: bool) -> tuple[Path, ...]:
    """Files at the root that sessions share; .bidsignore only where outputs are `named` as BIDS has it."""
    return (DESCRIPTION, IGNORE) if named else (DESCRIPTION,)


def write_shared_files(
    folder: Path, target: Path, raw: Path | None, *, named: bool, replace: bool = False
) -> list[Path]:
    """Write into `folder` what the dataset `target` shares and has not yet; return paths relative to it.

    The bytes depend on the raw dataset and the place of `target` only: every session writes the same.

    Parameters
    ----------
    folder, target
        Where the files are written, and where they end up.
    raw
        Root of the raw dataset; None outside of one.
    named
        Whether outputs are named as BIDS has it.
    replace
        Write the description anew where there is one.
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
        write_text(folder / IGNORE, BIDSIGNORE)
        written.append(IGNORE)
    return written


def raw_dataset_of(sources: Iterable[Path]) -> Path | None:
    """Raw dataset that the first source inside one lies in."""
    return next((root for root in map(raw_dataset, sources) if root is not None), None)


def raw_dataset(path: Path) -> Path | None:
    """Root of the raw BIDS dataset that a file lies in; derivatives inside it count as part of it."""
    for folder in path.resolve().parents:
        description = folder / DESCRIPTION
        if description.is_file() and read_json(description).get("DatasetType", "raw") == "raw":
            return folder
    return None


def source_uri(path: Path) -> str:
    """BIDS URI of an input (``bids:raw:sub-1/anat/...``) inside a raw dataset, else the file's name."""
    root = raw_dataset(path)
    return path.name if root is None else f"bids:raw:{path.resolve().relative_to(root).as_posix()}"


def dataset_link(raw: Path, target: Path) -> str:
    """Where the raw dataset is, seen from `target`: relative from inside it, else a file URI."""
    raw, target = raw.resolve(), target.resolve()
    if target.is_relative_to(raw):
        return "/".join([".."] * len(target.relative_to(raw).parts))
    return raw.as_uri()


def source_dataset(raw: Path, link: str) -> Mapping[str, str]:
    """Entry of SourceDatasets: its place, and its DOI where the raw dataset has one."""
    doi = read_json(raw / DESCRIPTION).get("DatasetDOI")
    return {"URL": link, "DOI": doi} if isinstance(doi, str) and doi else {"URL": link}


def container() -> dict[str, str]:
    """Image that runs, from the environment; empty outside of one."""
    found = {entry: os.environ[name] for entry, name in CONTAINER.items() if os.environ.get(name)}
    file = os.environ.get("APPTAINER_NAME") or os.environ.get("SINGULARITY_NAME")
    if file:
        found |= {"Type": "apptainer", "URI": Path(file).name}
    return found


def dataset_root(folder: Path, name: BidsName) -> Path | None:
    """Root of the dataset when `folder` is ``ROOT/sub-X[/ses-Y]/DATATYPE`` of the file `name`, else None."""
    if "sub" not in name.entities:
        return None
    root, parts = folder.parent, name.folder.parts
    for part in reversed(parts):
        if root.name != part:
            return None
        root = root.parent
    return root
