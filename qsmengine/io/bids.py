"""BIDS file names and the dataset description of derivatives."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json

BIDS_VERSION = "1.10.0"

ENTITY_ORDER = (
    "sub", "ses", "sample", "task", "acq", "ce", "trc", "stain", "rec", "dir", "run", "mod", "echo", "flip",
    "inv", "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "atlas", "seg", "scale",
    "res", "den", "label", "model", "param", "desc",
)  # fmt: skip
"""Order of entities in a name."""

_RANK = {key: position for position, key in enumerate(ENTITY_ORDER)}
_LABEL = re.compile(r"[0-9a-zA-Z]+")
_EXTENSION = re.compile(r"\.(?:nii\.gz|tsv\.gz|[0-9a-zA-Z]+)$")


@dataclass(frozen=True)
class BidsName:
    """Parsed file name: `entities` (key -> label), `suffix`, `extension` (with its dot).

    Raises
    ------
    InputError
        For keys, labels or a suffix that are not letters and digits, so that no name leaves its folder.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str = ".nii.gz"

    def __post_init__(self) -> None:
        for key, label in self.entities.items():
            if not (_LABEL.fullmatch(key) and _LABEL.fullmatch(label)):
                raise InputError(f"{key}-{label!s}: labels are letters and digits only", field=key)
        if not _LABEL.fullmatch(self.suffix):
            raise InputError(f"{self.suffix!r}: a suffix is letters and digits only", field="suffix")
        if self.extension and not _EXTENSION.fullmatch(self.extension):
            raise InputError(f"{self.extension!r} is not an extension", field="extension")

    @classmethod
    def parse(cls, path: str | Path) -> BidsName:
        """Parse the last part of `path`; raises InputError unless it is key-label pairs and a suffix."""
        try:
            return _parse(os.path.basename(os.fspath(path).rstrip("/")))  # noqa: PTH119
        except InputError as error:
            raise error.at(path) from error

    @property
    def filename(self) -> str:
        """File name with entities in BIDS order; unknown ones follow the known ones as given."""
        keys = sorted(self.entities, key=lambda key: _RANK.get(key, len(_RANK)))
        return "_".join([*(f"{key}-{self.entities[key]}" for key in keys), self.suffix]) + self.extension

    @property
    def folder(self) -> Path:
        """Relative folder of subject and session, `sub-X[/ses-Y]`; empty without a subject."""
        return Path(*(f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities))

    def derivative(
        self,
        suffix: str,
        *,
        drop: Sequence[str] = ("echo", "part"),
        extension: str = ".nii.gz",
        **entities: str,
    ) -> BidsName:
        """Return the name of a derived file: `drop` removed, `entities` added, another suffix.

        `BidsName.parse("sub-1_echo-1_part-mag_MEGRE.nii.gz").derivative("fieldmap", desc="total")` is
        `sub-1_desc-total_fieldmap.nii.gz`.
        """
        kept = {key: label for key, label in self.entities.items() if key not in drop}
        return BidsName({**kept, **entities}, suffix, extension)

    def is_ancestor_of(self, other: BidsName) -> bool:
        """Return whether a sidecar of this name applies to `other`: same suffix, a subset of its entities."""
        return self.suffix == other.suffix and self.entities.items() <= other.entities.items()


@lru_cache(maxsize=4096)
def _parse(name: str) -> BidsName:
    """Take a file name apart; listings and inheritance ask for the same names many times."""
    match = _EXTENSION.search(name)
    extension = match.group() if match else ""
    *pairs, suffix = name.removesuffix(extension).split("_")
    entities: dict[str, str] = {}
    for pair in pairs:
        key, dash, label = pair.partition("-")
        if not dash or key in entities:
            problem = "appears twice" if key in entities else "is not key-label"
            raise InputError(f"{pair!r} {problem}: not a BIDS name")
        entities[key] = label
    return BidsName(entities, suffix, extension)


def write_dataset_description(
    folder: str | Path,
    *,
    name: str,
    version: str,
    source_datasets: Sequence[Mapping[str, str]] = (),
    links: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    command: str | None = None,
) -> Path:
    """Write `dataset_description.json` of a derivative dataset into `folder`; return its path.

    Parameters
    ----------
    folder
        Root of the derivatives.
    name
        Title of the dataset.
    version
        Version of qsmengine that produced the dataset.
    source_datasets
        Entries such as {"URL": ...} or {"DOI": ..., "Version": ...}.
    links
        Name -> location of the datasets that ``bids:NAME:...`` URIs refer to.
    container
        Container image that was used: Type, Tag, URI.
    command
        Command line, stored under GeneratedBy.
    """
    generated: dict[str, object] = {"Name": "qsmengine", "Version": version}
    if command is not None:
        generated["Description"] = command
    if container:
        generated["Container"] = dict(container)
    content: dict[str, object] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generated],
    }
    if source_datasets:
        content["SourceDatasets"] = [dict(entry) for entry in source_datasets]
    if links:
        content["DatasetLinks"] = dict(links)
    path = Path(folder) / "dataset_description.json"
    write_json(path, content)
    return path


@dataclass(frozen=True)
class BidsFile:
    """Image of a dataset: `path` (POSIX, relative to it), parsed `name`, `datatype` (its folder)."""

    path: str
    name: BidsName
    datatype: str
