"""Methods section with references, written from the provenance of the steps that ran."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from qsmengine.io.atomic import write_text
from qsmengine.modalities.derived import DERIVED, Derived
from qsmengine.modalities.registry import all_modalities, description_of, modality_of, step_names
from qsmengine.report.records import ReconstructedSeries

_DATA = resources.files("qsmengine.report") / "data"
CITATION = Path("logs") / "CITATION.md"
USED = ("Steps", "Software", "Device", "Acquisition")
"""Fields of the provenance that a methods section needs."""


@dataclass(frozen=True)
class Sentence:
    """Description of a step for a methods section, and the DOIs it cites."""

    text: str
    dois: tuple[str, ...]


def write_citation(out: str | Path, series: Iterable[ReconstructedSeries]) -> Path:
    """Write ``logs/CITATION.md``: the methods section and the references of `series`."""
    path = Path(out) / CITATION
    write_text(path, citation(tuple(series)))
    return path


def citation(series: Sequence[ReconstructedSeries]) -> str:
    """Return Markdown with a paragraph for every configuration that ran, followed by the references."""
    lines = ["# Methods", ""]
    used: dict[str, list[str]] = {}
    for members in group_alike(series):
        lines += [f"## {title_of(members[0].kind)}", "", paragraph(members), ""]
        for step in members[0].steps:
            for doi in describe(step).dois:
                name = f"{step.get('Stage', '')}: {step['Method']}"
                used.setdefault(doi, []).append(name)
    lines += ["# References", ""]
    for doi, names in sorted(used.items(), key=lambda item: (reference(item[0]), item[0])):
        methods = "; ".join(dict.fromkeys(names))
        lines.append(f"- {reference(doi)}, <https://doi.org/{doi}> ({methods})")
    return "\n".join(lines) + "\n"


def group_alike(series: Iterable[ReconstructedSeries]) -> list[list[ReconstructedSeries]]:
    """Group series of one kind by equal steps and parameters; larger groups come first."""
    groups: dict[str, list[ReconstructedSeries]] = {}
    for entry in series:
        key = [entry.kind, [(s.get("Stage"), s["Method"], s.get("Parameters")) for s in entry.steps]]
        groups.setdefault(repr(key), []).append(entry)
    return sorted(groups.values(), key=lambda g: (rank_of(g[0].kind), -len(g)))


def title_of(kind: str) -> str:
    """Heading of a kind of reconstruction: its modality's, or the kind itself."""
    described = description_of(kind)
    return kind if described is None else described.title


def rank_of(kind: str) -> int:
    """Place of a kind of reconstruction on pages: the modalities' order, others last."""
    steps = step_names()
    return steps.index(kind) if kind in steps else len(steps)


def paragraph(series: Sequence[ReconstructedSeries]) -> str:
    """Return the paragraph on series that were reconstructed with the same configuration."""
    first = series[0]
    sessions = len({entry.session for entry in series})
    count = f"{sessions} session{'s' if sessions != 1 else ''}"
    described = description_of(first.kind)
    what = "Data" if described is None else described.data
    verb = described.verb if isinstance(described, Derived) else "reconstructed"
    seen = "; ".join(protocol for protocol, _ in _protocols(series).most_common(4))
    software = sorted({str(_software(entry, "qsmengine")) for entry in series})
    kernels = sorted({str(_software(entry, "kernels")) for entry in series})
    devices = sorted({str(entry.record.get("Device", "?")) for entry in series})
    intro = (
        f"{what} of {count}{f' ({seen})' if seen else ''} were {verb} with "
        f"qsmengine {', '.join(software)} (kernels {', '.join(kernels)}, on {', '.join(devices)})."
    )
    modality = modality_of(first.kind)
    found = "" if modality is None else modality.judged([entry.record for entry in series])
    steps = (_with_citations(describe(step)) for step in first.steps)
    return " ".join([intro, *steps, *([f"{found}."] if found else [])])


def describe(step: Mapping[str, Any]) -> Sentence:
    """Return the sentence for a step of a provenance file; an unknown method is cited by its name."""
    stage, method = str(step.get("Stage", "")), str(step["Method"])
    values: Mapping[str, Any] = step.get("Parameters") or {}
    dois = [str(step["DOI"])] if step.get("DOI") else []
    entry = sentences().get(f"{stage}/{method}")
    if entry is None:
        return Sentence(f"The step {stage} was performed by {method}", tuple(dois))
    text = next((case["text"] for case in entry.get("cases", ()) if _holds(case, values)), entry["text"])
    parts = [text]
    for more in entry.get("also", ()):
        if _holds(more, values):
            parts.append(more["text"])
            dois += [more["doi"]] if "doi" in more else []
    shown = {name: plain(value) for name, value in values.items()}
    return Sentence(", ".join(parts).format_map(_Shown(shown)), tuple(dict.fromkeys(dois)))


def reference(doi: str) -> str:
    """Return authors and year of a DOI, or the DOI itself if they are unknown."""
    return references().get(doi, doi)


def plain(value: Any) -> str:
    """Return the value of a parameter as text."""
    if isinstance(value, list | tuple):
        return " x ".join(plain(item) for item in value) if value else "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "automatic" if value is None else str(value)


@cache
def sentences() -> Mapping[str, Any]:
    """Return ``STAGE/METHOD`` -> text, `cases` that replace it, and clauses that are added (`also`)."""
    found: dict[str, Any] = yaml.safe_load((_DATA / "sentences.yaml").read_text(encoding="utf-8"))
    for modality in all_modalities():
        found |= modality.sentences
    return found | {key: text for one in DERIVED for key, text in one.sentences.items()}


@cache
def references() -> Mapping[str, str]:
    """Return DOI -> authors and year."""
    lines = (_DATA / "references.tsv").read_text(encoding="utf-8").splitlines()
    found = {row["doi"]: row["reference"] for row in csv.DictReader(lines, delimiter="\t")}
    for modality in all_modalities():
        found |= modality.references
    return found | {doi: name for one in DERIVED for doi, name in one.references.items()}


class _Shown(dict[str, str]):
    """Values for a sentence; a parameter that is missing from an older provenance file reads "unknown"."""

    def __missing__(self, key: str) -> str:
        return "unknown"


def _with_citations(sentence: Sentence) -> str:
    if not sentence.dois:
        return f"{sentence.text}."
    return f"{sentence.text} ({'; '.join(reference(doi) for doi in sentence.dois)})."


def _holds(condition: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    value = values.get(condition["when"])
    return value == condition["is"] if "is" in condition else bool(value)


def _software(entry: ReconstructedSeries, name: str) -> Any:
    return (entry.record.get("Software") or {}).get(name, "?")


def _protocols(series: Sequence[ReconstructedSeries]) -> Counter[str]:
    """Return every acquisition protocol with its number of series."""
    return Counter(text for entry in series if (text := _protocol(entry)))


def _protocol(series: ReconstructedSeries) -> str:
    facts, modality = series.record.get("Acquisition") or {}, modality_of(series.kind)
    parts = []
    if facts.get("MagneticFieldStrength"):
        parts.append(f"{facts['MagneticFieldStrength']:g} T")
    if modality is not None:
        parts += modality.protocol(facts)
    size = facts.get("VoxelSize")
    if size:
        parts.append(f"voxels of {' x '.join(f'{s:.3g}' for s in size)} mm")
    return ", ".join(parts)
