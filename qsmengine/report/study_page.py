"""The page of a reproduced study: its tables beside the published ones, from tables on disk."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.report.pages import write_page

Row = dict[str, str]


@dataclass(frozen=True)
class Cell:
    """One cell: value, what is published, "yes" or "no" for agreement, share of cohorts that agree."""

    value: str
    published: str = ""
    mark: str = ""
    share: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table; None for an empty cell."""

    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Section:
    """A table with its headline."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Line, ...]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture in the page's folder."""

    title: str
    file: str


def study_page(
    folder: str | Path, path: str | Path, title: str, summary: str, figures: Sequence[Figure] = ()
) -> None:
    """Write one HTML page without scripts or outside files.

    Parameters
    ----------
    folder
        Holds ``cells.tsv`` (table, row, column, published, value, agrees), ``recovery.tsv`` (the same with
        recovered, n) and, where there are any, ``unadjusted.tsv`` (metric, comparison, p, p_published,
        agrees), ``combined.tsv`` (metric, mean, sd and what is published) and ``bias.tsv`` (metric, unit, n,
        truth, measured, bias, sd, r).
    path
        File to write, ending in .html.
    title, summary
        Headline and what was done.
    figures
        Pictures beside the page.

    Raises
    ------
    InputError
        When a table is missing or lacks a column.
    DeviceError
        When jinja2 is not installed.
    """
    if Path(path).suffix != ".html":
        raise InputError("a page's name ends in .html", source=path)
    folder = Path(folder)
    sections = [*_bias(folder), *_cells(folder), *_unadjusted(folder), *_combined(folder)]
    write_page(path, "study.html", title=title, summary=summary, sections=sections, figures=figures)


def number(text: str) -> str:
    """Three significant digits; a dash for n/a; other text as it is."""
    try:
        value = float(text)
    except ValueError:
        return "-" if text in {"", "n/a"} else text
    return "-" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.1f}"


def _cells(folder: Path) -> list[Section]:
    cells = _read(folder / "cells.tsv", ("table", "row", "column", "kind", "published", "value", "agrees"))
    shares = {
        (row["table"], row["row"], row["column"]): row
        for row in _read(folder / "recovery.tsv", ("table", "row", "column", "recovered", "n"))
    }
    sections = []
    for table in dict.fromkeys(row["table"] for row in cells):
        own = [row for row in cells if row["table"] == table]
        columns = tuple(dict.fromkeys(row["column"] for row in own))
        found = {(row["row"], row["column"]): row for row in own}
        lines = []
        for name in dict.fromkeys(row["row"] for row in own):
            line = [_cell(found.get((name, c)), shares.get((table, name, c))) for c in columns]
            lines.append(Line(name, tuple(line)))
        good = sum(row["agrees"] == "yes" for row in own)
        note = f"{good} of {len(own)} cells of the first cohort agree."
        title = f"Table {table}" if table.isdigit() else table
        sections.append(Section(title, columns, tuple(lines), note))
    return sections


def _cell(row: Row | None, share: Row | None) -> Cell | None:
    if row is None:
        return None
    several = share is not None and int(share["n"]) > 1
    percent = f"{100 * float(share['recovered']):.0f} %" if share is not None and several else ""
    value = number(row["value"])
    if row["kind"] == "p" and value != "-" and float(row["value"]) < 0.001:
        value = "<.001"
    return Cell(value, row["published"], row["agrees"], percent)


def _unadjusted(folder: Path) -> list[Section]:
    path = folder / "unadjusted.tsv"
    if not path.exists():
        return []
    rows = _read(path, ("metric", "comparison", "difference", "t", "df", "p", "p_published", "agrees"))
    columns = ("difference", "t", "df", "p")
    lines = []
    for row in rows:
        cells: list[Cell | None] = [Cell(number(row[c])) for c in columns[:3]]
        cells.append(Cell(number(row["p"]), row["p_published"], row["agrees"]))
        lines.append(Line(f"{row['metric']}, {row['comparison']}", tuple(cells)))
    good = sum(row["agrees"] == "yes" for row in rows)
    note = (
        "Welch's t test from the printed means, standard deviations and n alone, without covariates; "
        f"{good} of {len(rows)} agree in significance with the printed, adjusted p values."
    )
    return [Section("Table 2 from its own figures", columns, tuple(lines), note)]


def _combined(folder: Path) -> list[Section]:
    path = folder / "combined.tsv"
    if not path.exists():
        return []
    rows = _read(path, ("metric", "mean", "sd", "mean_published", "sd_published", "standard_errors"))
    columns = ("mean", "sd", "difference in standard errors")
    lines = [
        Line(
            row["metric"],
            (
                Cell(number(row["mean"]), row["mean_published"]),
                Cell(number(row["sd"]), row["sd_published"]),
                Cell(number(row["standard_errors"])),
            ),
        )
        for row in rows
    ]
    note = "Mean and standard deviation of MS that the printed PMS and RRMS groups combine to."
    return [Section("Do the printed subgroups add up?", columns, tuple(lines), note)]


def _bias(folder: Path) -> list[Section]:
    path = folder / "bias.tsv"
    if not path.exists():
        return []
    columns = ("truth", "measured", "bias", "sd", "r")
    rows = _read(path, ("metric", "unit", "n", *columns))
    lines = [
        Line(f"{row['metric']} [{row['unit']}], n {row['n']}", tuple(Cell(number(row[c])) for c in columns))
        for row in rows
    ]
    note = (
        "Mean of the true map and of the reconstruction over the same voxels; sd and bias of their difference."
    )
    return [Section("Bias of the reconstruction", columns, tuple(lines), note)]


def _read(path: Path, columns: Sequence[str]) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows: list[Row] = list(csv.DictReader(stream, delimiter="\t"))
    except FileNotFoundError:
        raise InputError("no such file", source=path) from None
    head: Mapping[str, str] = rows[0] if rows else {}
    absent = [column for column in columns if column not in head]
    if absent:
        raise InputError("no such column", source=path, field=absent[0])
    return rows
