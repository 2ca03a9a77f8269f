"""Recorded reconstructions of a folder of results: their inputs and configuration, from provenance files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError, UsageError, nearest
from qsmengine.modalities.derived import DERIVED
from qsmengine.modalities.modality import Modality
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import validate
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.provenance import file_digest, software
from qsmengine.report.records import ReconstructedSeries, find_series

RAW = "bids:raw:"
_NOT_RECOMPUTED = frozenset(one.step for one in DERIVED)
"""Steps that work on results: registrations differ in their last digits with the number of threads."""
_VERSIONS = ("qsmengine", "kernels")


def recorded_series(
    out: Path, participants: Iterable[str] | None = None, sessions: Iterable[str] | None = None
) -> list[ReconstructedSeries]:
    """Return the reconstructions of the chosen subjects and sessions (labels with or without prefix).

    Raises
    ------
    InputError
        If there is no such folder, a provenance file cannot be read, or there is none.
    UsageError
        For a label that no reconstruction has.
    """
    if not out.is_dir():
        raise InputError("no such folder", source=out)
    found = [one for one in find_series(out) if one.kind not in _NOT_RECOMPUTED]
    if not found:
        raise InputError("no *_prov.json below it: not a folder of results", source=out)
    found = _with_label(found, participants, "sub-", "--participant-label")
    return _with_label(found, sessions, "ses-", "--session-label")


def labels_of(series: ReconstructedSeries) -> dict[str, str]:
    """Return the labels of subject and session: {"sub": "01", "ses": "1"}; outside BIDS none."""
    parts = (part.partition("-") for part in series.session.split("_"))
    return {key: label for key, _, label in parts if key in {"sub", "ses"} and label}


def other_version(series: ReconstructedSeries) -> str:
    """Return how the version that made the maps differs from this one; "" if it is the same."""
    recorded, now = _mapping(series.record.get("Software")), software()
    changed = [name for name in _VERSIONS if recorded.get(name) != now[name]]
    return "; ".join(
        f"made with {name} {recorded.get(name, 'unknown')}, this is {now[name]}" for name in changed
    )


def configuration_of(series: ReconstructedSeries) -> tuple[Modality, Config]:
    """Return the modality and the configuration of a reconstruction.

    Raises
    ------
    InputError
        If the provenance has no configuration, or this version does not understand it.
    """
    path = series.file(f"desc-{series.kind}_prov.json")
    modality = modality_of(series.kind)
    if modality is None:
        raise InputError(f"no step of this version is called {series.kind!r}", source=path)
    tree = series.record.get("Configuration")
    if not isinstance(tree, dict):
        raise InputError("not found", source=path, field="Configuration")
    known = modality.sections_with(list(modality.role_sections))
    sections = [name for name in known if name in tree or name in modality.sections]
    try:
        return modality, validate(tree, None, sections)
    except UsageError as error:
        raise InputError(
            f"not understood by this version: {error}", source=path, field="Configuration"
        ) from None


def check_inputs(series: ReconstructedSeries, raw: Path | None) -> Path:
    """Return the raw dataset after checking that every input is there with its recorded content.

    Raises
    ------
    InputError
        For an input that is missing, has changed, or does not belong to a raw dataset.
    """
    path = series.file(f"desc-{series.kind}_prov.json")
    inputs = series.record.get("Inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InputError("not found", source=path, field="Inputs")
    for entry in map(_mapping, inputs):
        uri = str(entry.get("URI", ""))
        if not uri.startswith(RAW):
            raise InputError(
                f"{entry.get('File', 'a file')} is not in a BIDS dataset, so it cannot be found again",
                source=path, field="Inputs",
            )  # fmt: skip
        if raw is None:
            raise InputError(
                "the raw dataset that it links to is not here; name it with --bids",
                source=path.parent, field="DatasetLinks",
            )  # fmt: skip
        file = raw / uri.removeprefix(RAW)
        if not file.is_file():
            raise InputError("raw input not found; --bids names another place of the dataset", source=file)
        if file_digest(file) != entry.get("SHA256"):
            raise InputError("raw input has changed since the maps were made (SHA-256 differs)", source=file)
    if raw is None:
        raise AssertionError(inputs)
    return raw


def recorded_overrides(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the echo times [s] and the field strength [T] of a provenance record, if it has them."""
    facts = _mapping(record.get("Acquisition"))
    found = {"echo_times": facts.get("EchoTimes"), "field_strength": facts.get("MagneticFieldStrength")}
    return {name: value for name, value in found.items() if value is not None}


def recorded_names(record: Mapping[str, Any]) -> set[str]:
    """Return the names of the inputs of a provenance record."""
    return {str(entry.get("File")) for entry in map(_mapping, record.get("Inputs", ()))}


def _with_label(
    found: list[ReconstructedSeries], wanted: Iterable[str] | None, prefix: str, option: str
) -> list[ReconstructedSeries]:
    if wanted is None:
        return found
    key = prefix.rstrip("-")
    chosen = {label.removeprefix(prefix) for label in wanted}
    known = {labels_of(series).get(key, "") for series in found}
    for label in sorted(chosen - known):
        close = nearest(label, known - {""})
        raise UsageError(f"{option} {label}: no results{f'; did you mean {close[0]}?' if close else ''}")
    return [series for series in found if labels_of(series).get(key) in chosen]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
