"""Selection of subjects, sessions and images by labels and by filters in the format of pybids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qsmengine.cohort.select.dataset import SessionFiles
from qsmengine.errors import InputError, UsageError, nearest
from qsmengine.io.bids import ENTITY_ORDER, BidsFile
from qsmengine.io.sidecars import read_json
from qsmengine.modalities.registry import all_modalities
from qsmengine.pipeline.configuration.messages import near

LONG_NAMES = {
    "subject": "sub", "session": "ses", "sample": "sample", "task": "task", "acquisition": "acq",
    "ceagent": "ce", "staining": "stain", "tracer": "trc", "reconstruction": "rec", "direction": "dir",
    "modality": "mod", "inversion": "inv", "mtransfer": "mt", "processing": "proc", "hemisphere": "hemi",
    "atlas": "atlas", "segmentation": "seg", "resolution": "res", "density": "den", "description": "desc",
}  # fmt: skip
"""Name of an entity in pybids -> its key in file names."""
NOT_ENTITIES = ("suffix", "datatype", "extension")


@dataclass(frozen=True)
class ImageFilter:
    """Queries of a filter file: suffix -> conditions, all of which an image of that suffix must meet.

    A condition maps an entity (or suffix, datatype, extension) to the values allowed; None allows the entity
    to be absent, "*" allows any value.
    """

    conditions: Mapping[str, tuple[Mapping[str, tuple[Any, ...]], ...]]

    def keeps(self, file: BidsFile) -> bool:
        """Return whether an image meets every condition on its suffix."""
        facts = {
            **file.name.entities, "suffix": file.name.suffix, "datatype": file.datatype,
            "extension": file.name.extension,
        }  # fmt: skip
        return all(
            any(_equal(facts.get(key), value) for value in values)
            for condition in self.conditions.get(file.name.suffix, ())
            for key, values in condition.items()
        )

    def apply(self, session: SessionFiles) -> SessionFiles:
        """Return the session with the images that are kept; its notes count those left out."""
        kept = tuple(file for file in session.files if self.keeps(file))
        left_out = len(session.files) - len(kept)
        if not left_out:
            return session
        return replace(
            session, files=kept, notes=(*session.notes, f"{left_out} images left out by the filter file")
        )


def read_filter(path: str | Path) -> ImageFilter:
    """Read a pybids filter file: ``{"megre": {"acquisition": "fine"}, "dwi": {"direction": ["AP", null]}}``.

    Raises
    ------
    UsageError
        If a query or an entity is unknown (the message suggests the nearest), or the file is not such JSON.
    """
    path = Path(path)
    try:
        content = read_json(path)
    except InputError as error:
        raise UsageError(f"--bids-filter-file {error}") from None
    conditions: dict[str, list[Mapping[str, tuple[Any, ...]]]] = {}
    queries = {name: suffixes for m in all_modalities() for name, suffixes in m.queries.items()}
    for query, wanted in content.items():
        if query not in queries:
            raise UsageError(f"{path}: unknown query {near(query, queries)}")
        if not isinstance(wanted, dict):
            raise UsageError(f"{path}: {query}: expected an object of entities, got {wanted!r}")
        condition = {
            _entity(key, query, path): _values(value, f"{path}: {query}.{key}") for key, value in wanted.items()
        }
        for suffix in queries[query]:
            conditions.setdefault(suffix, []).append(condition)
    return ImageFilter({suffix: tuple(all_of) for suffix, all_of in conditions.items()})


def choose(wanted: Iterable[str] | None, known: Sequence[str], prefix: str, option: str) -> list[str]:
    """Return the labels of `known` that are wanted, in the order of `known`; all for None.

    Parameters
    ----------
    wanted
        With or without `prefix` ("sub-", "ses-"); a label given twice counts once.

    Raises
    ------
    UsageError
        If a label does not exist; the message suggests the nearest ones.
    """
    if wanted is None:
        return list(known)
    labels = dict.fromkeys(label.strip().removeprefix(prefix) for label in wanted)
    if not labels:
        raise UsageError(f"{option}: no label given")
    for label in labels:
        if label not in known:
            close = nearest(label, known, 3)
            hint = f"did you mean {', '.join(close)}?" if close else f"there are {_some(known)}"
            raise UsageError(f"{option} {label}: not in the dataset; {hint}")
    return [label for label in known if label in labels]


def _some(known: Sequence[str]) -> str:
    return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "") if known else "none"


def _entity(key: str, query: str, path: Path) -> str:
    short = LONG_NAMES.get(key, key)
    if short not in ENTITY_ORDER and short not in NOT_ENTITIES:
        raise UsageError(
            f"{path}: {query}: unknown entity {near(key, (*LONG_NAMES, *ENTITY_ORDER, *NOT_ENTITIES))}"
        )
    return short


def _values(value: Any, where: str) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list) else (value,)
    for one in values:
        if one is not None and (isinstance(one, bool) or not isinstance(one, str | int)):
            raise UsageError(f"{where}: {one!r} is neither text, a whole number nor null")
    return values


def _equal(found: str | None, wanted: Any) -> bool:
    """Return whether a label is the one wanted; numbers are compared as numbers ("01" is 1)."""
    if wanted is None or found is None:
        return wanted is None and found is None
    if wanted == "*":
        return True
    text = str(wanted)
    if found.isdecimal() and text.isdecimal():
        return int(found) == int(text)
    return found == text or found.lstrip(".") == text
