"""Page of a reproduced study: its results next to the published ones, from tables on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.report.pages import write_page
from qsmengine.report.tsv import Row, read_rows


@dataclass(frozen=True)
class PageCell:
    """One cell: value, published value, agreement ("yes" or "no"), share of cohorts that agree."""

    value: str
    published: str = ""
    mark: str = ""
    share: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table; None for an empty cell."""

    name: str
    cells: tuple[PageCell | None, ...]


@dataclass(frozen=True)
class Section:
    """A table with its heading."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Line, ...]
    note: str = ""


@dataclass(frozen=True)
class LinkedFigure:
    """A figure file in the folder of the page."""

    title: str
    file: str


def study_page(
    folder: str | Path, path: str | Path, title: str, summary: str, figures: Sequence[LinkedFigure] = ()
) -> None:
    """Write one HTML page without scripts; figures are files in its folder.

    Parameters
    ----------
    folder
        Holds ``cells.tsv`` (table, row, column, published, value, agrees), ``recovery.tsv`` (the same with
        recovered, n) and, optionally, ``unadjusted.tsv`` (metric, comparison, p, p_published,
        agrees), ``combined.tsv`` (metric, mean, sd and the published values) and ``bias.tsv`` (metric, unit, n,
        truth, measured, bias, sd, r).
    path
        File to write, ending in .html.
    title, summary
        Title, and a summary of the reproduction.
    figures
        Figures in the folder of the page.

    Raises
    ------
    InputError
        When a table is missing or lacks a column.
    DeviceError
        When jinja2 is not installed.
    """
    if Path(path).suffix != ".html":
        raise InputError("the name of a page must end in .html", source=path)
    folder = Path(folder)
    sections = [*_bias(folder), *_cells(folder), *_unadjusted(folder), *_combined(folder)]
    write_page(path, "study.html", title=title, summary=summary, sections=sections, figures=figures)


def number(text: str) -> str:
    """Return a number with three significant digits, a dash for n/a, and other text unchanged."""
    try:
        value = float(text)
    except ValueError:
        return "-" if text in {"", "n/a"} else text
    return "-" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.1f}"


def _cells(folder: Path) -> list[Section]:
    cells = read_rows(folder / "cells.tsv", ("table", "row", "column", "kind", "published", "value", "agrees"))
    shares = {
        (row["table"], row["row"], row["column"]): row
        for row in read_rows(folder / "recovery.tsv", ("table", "row", "column", "recovered", "n"))
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


def _cell(row: Row | None, share: Row | None) -> PageCell | None:
    if row is None:
        return None
    several = share is not None and int(share["n"]) > 1
    percent = f"{100 * float(share['recovered']):.0f} %" if share is not None and several else ""
    value = number(row["value"])
    if row["kind"] == "p" and value != "-" and float(row["value"]) < 0.001:
        value = "<.001"
    return PageCell(value, row["published"], row["agrees"], percent)


def _unadjusted(folder: Path) -> list[Section]:
    path = folder / "unadjusted.tsv"
    if not path.exists():
        return []
    rows = read_rows(path, ("metric", "comparison", "difference", "t", "df", "p", "p_published", "agrees"))
    columns = ("difference", "t", "df", "p")
    lines = []
    for row in rows:
        cells: list[PageCell | None] = [PageCell(number(row[c])) for c in columns[:3]]
        cells.append(PageCell(number(row["p"]), row["p_published"], row["agrees"]))
        lines.append(Line(f"{row['metric']}, {row['comparison']}", tuple(cells)))
    good = sum(row["agrees"] == "yes" for row in rows)
    note = (
        "Welch's t test from the printed means, standard deviations and n, without covariates; "
        f"{good} of {len(rows)} agree in significance with the printed p values, which are adjusted."
    )
    return [Section("Table 2 recomputed from its printed values", columns, tuple(lines), note)]


def _combined(folder: Path) -> list[Section]:
    path = folder / "combined.tsv"
    if not path.exists():
        return []
    rows = read_rows(path, ("metric", "mean", "sd", "mean_published", "sd_published", "standard_errors"))
    columns = ("mean", "sd", "difference in standard errors")
    lines = [
        Line(
            row["metric"],
            (
                PageCell(number(row["mean"]), row["mean_published"]),
                PageCell(number(row["sd"]), row["sd_published"]),
                PageCell(number(row["standard_errors"])),
            ),
        )
        for row in rows
    ]
    note = "Mean and standard deviation of MS computed from the printed PMS and RRMS groups."
    return [Section("MS group computed from the printed subgroups", columns, tuple(lines), note)]


def _bias(folder: Path) -> list[Section]:
    path = folder / "bias.tsv"
    if not path.exists():
        return []
    columns = ("truth", "measured", "bias", "sd", "r")
    rows = read_rows(path, ("metric", "unit", "n", *columns))
    lines = [
        Line(f"{row['metric']} [{row['unit']}], n {row['n']}", tuple(PageCell(number(row[c])) for c in columns))
        for row in rows
    ]
    note = (
        "Means of the true map and of the reconstruction over the same voxels; bias and SD of their difference."
    )
    return [Section("Bias of the reconstruction", columns, tuple(lines), note)]
