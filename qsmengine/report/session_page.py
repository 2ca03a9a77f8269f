"""Page of a session: maps, regional values, notes, methods and provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.modalities.protocol import Check
from qsmengine.modalities.registry import modality_of
from qsmengine.report.ages import SLOPE, SLOPES, ages_plot, ages_title, differences, studies
from qsmengine.report.cohort import Comparison
from qsmengine.report.comparison import comparison, comparison_title, far_from
from qsmengine.report.distribution import LIMIT
from qsmengine.report.iron import compared_with_iron, iron_plot, iron_title
from qsmengine.report.methods_text import paragraph, plain, rank_of, reference, title_of
from qsmengine.report.pages import markup, shown, write_page
from qsmengine.report.quality import SeriesQuality, quality_beside, worst_light
from qsmengine.report.records import ReconstructedSeries, RegionTable, is_key
from qsmengine.report.session_figures import Shown, figures_of
from qsmengine.report.sessions import SessionState


@dataclass(frozen=True)
class Part:
    """A series on the page: quality, figures (or the reason for their absence), methods, steps and inputs."""

    title: str
    quality: SeriesQuality | None
    table: str
    figures: Sequence[Shown]
    problem: str
    missing: str
    protocol: str
    checks: Sequence[Check]
    methods: str
    steps: Sequence[Mapping[str, str]]
    facts: Sequence[tuple[str, str]]
    inputs: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Table:
    """A region table as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    file: str = ""


def write_session_page(
    out: str | Path,
    session: SessionState,
    series: Sequence[ReconstructedSeries],
    tables: Sequence[RegionTable] = (),
    compared: Sequence[Comparison] = (),
    *,
    age: float | None = None,
    volumes: str = "",
    on_problem: Callable[[str], None] | None = None,
) -> Path:
    """Write ``OUT/KEY.html``: one file with embedded figures, without scripts.

    Parameters
    ----------
    out
        Folder of the results.
    session
        Key and state of the session.
    series, tables
        Reconstructions and region tables of the session.
    compared
        Regional values of the session in the cohort.
    age
        Age of the participant [years], for the iron and the chi published for it.
    volumes
        Name of the interactive page of the session, to link to.
    on_problem
        Called with each map that cannot be read, and why.

    Raises
    ------
    InputError
        For a key that is not a valid file name.
    DeviceError
        When jinja2 is not installed.
    """
    if not is_key(session.key):
        raise InputError(f"{session.key!r} is not the name of a session", source=out)
    series = sorted(series, key=lambda s: rank_of(s.kind))
    out = Path(out)
    notes = dict.fromkeys([*session.notes, *(note for entry in series for note in entry.notes)])
    parts = [_part(entry, out, on_problem or (lambda _: None)) for entry in series]
    iron = compared_with_iron(tables, age)
    return write_page(
        out / f"{session.key}.html",
        "session.html",
        session=session,
        worst=worst_light([part.quality for part in parts if part.quality is not None]),
        notes=list(notes),
        parts=parts,
        tables=[_table(table, out) for table in tables],
        compared=_compared(compared),
        iron=[(iron_title(one), one.plausible, markup(iron_plot(one))) for one in iron],
        ages=[(ages_title(one), markup(ages_plot(one)), [d.cells for d in differences(one)]) for one in iron],
        slopes=(SLOPE, *SLOPES),
        studies=studies(),
        limit=f"{LIMIT:g}",
        volumes=volumes,
    )


def _compared(found: Sequence[Comparison]) -> list[tuple[str, Any, str]]:
    """Return title, drawing and distant values of each map; only the first and those with any are drawn."""
    rows = []
    for number, one in enumerate(found):
        far = far_from(one)
        rows.append((comparison_title(one), markup(comparison(one) if far or number == 0 else ""), far))
    return rows


def _part(series: ReconstructedSeries, out: Path, on_problem: Callable[[str], None]) -> Part:
    variant = series.stem.removeprefix(series.session).lstrip("_")
    title = ", ".join(filter(None, (title_of(series.kind), variant)))
    problem, quality = "", None
    figures, missing = list[Shown](), ""
    try:
        quality = quality_beside(series.folder, series.stem, series.kind)
    except InputError as error:
        problem = str(error)
    try:
        figures, missing = figures_of(series, title, out, quality)
    except InputError as error:
        problem = f"no figure: {error}"
        if error.source is not None:
            on_problem(problem)
    software = series.record.get("Software") or {}
    names = ("Device", "Threads", "FFT", "ConfigurationHash")
    facts = [*software.items(), *((n, series.record[n]) for n in names if n in series.record)]
    return Part(
        title,
        quality,
        "" if quality is None else _link(quality.path, out),
        figures,
        problem,
        missing,
        *_protocol(series),
        paragraph([series]),
        [_step(step) for step in series.steps],
        [(str(name), str(value)) for name, value in facts],
        [_input(entry) for entry in series.record.get("Inputs", ()) if isinstance(entry, dict)],
    )


def _protocol(series: ReconstructedSeries) -> tuple[str, list[Check]]:
    """Return the title of the recommendation for the acquisition, and the results; nothing without one."""
    modality = modality_of(series.kind)
    wanted = None if modality is None else modality.recommendation
    return ("", []) if wanted is None else (wanted.title, wanted.check(wanted.recorded(series.record)))


def _link(path: Path, out: Path) -> str:
    """Return a path relative to the page; "" outside its folder."""
    return path.relative_to(out).as_posix() if path.is_relative_to(out) else ""


def _step(step: Mapping[str, Any]) -> dict[str, str]:
    values = step.get("Parameters") or {}
    solver = step.get("Solver") or {}
    doi = str(step.get("DOI") or "")
    ended = f"{solver.get('Iterations')} iterations, {solver.get('Stopped')}" if solver else ""
    return {
        "stage": str(step.get("Stage", "")),
        "method": str(step["Method"]),
        "doi": doi,
        "reference": reference(doi),
        "parameters": ", ".join(f"{name} {plain(value)}" for name, value in values.items()),
        "solver": ended,
    }


def _input(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"file": str(entry.get("URI") or entry.get("File", "")), "digest": str(entry.get("SHA256", ""))}


def _table(table: RegionTable, out: Path) -> Table:
    """Return volume, and mean and standard deviation of every map, per structure."""
    columns = ["structure", "side", "volume [mm^3]"]
    names = ["volume_mm3"]
    for name in table.maps:
        names += [f"{name}_mean", f"{name}_sd"]
        unit = table.units.get(f"{name}_mean", "")
        label = f"{name} [{unit}]" if unit not in {"", "1"} else name
        columns += [f"{label}, mean", "SD"]
    rows = [
        [row["region"], row["hemisphere"], *(shown(row.get(name, "n/a")) for name in names)]
        for row in table.rows
    ]
    if any("reliable" in row for row in table.rows):
        columns.append("not reliable")
        for cells, row in zip(rows, table.rows, strict=True):
            cells.append("" if row["reliable"] == "1" else row.get("reasons", ""))
    return Table(table.path.name.removesuffix(".tsv"), columns, rows, _link(table.path, out))
