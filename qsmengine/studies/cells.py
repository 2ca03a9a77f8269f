"""Comparison of published cells with those of virtual cohorts: tables, recovery, lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qsmengine.stats.tables import Dictionary

CELLS: Dictionary = {
    "table": {"Description": "Table of the paper, or section of its text"},
    "row": {"Description": "Row of the table"},
    "column": {"Description": "Column of the table"},
    "kind": {"Description": "estimate, share, or p for significance"},
    "published": {"Description": "Value as printed"},
    "value": {"Description": "Value of the cohort; n/a if the model did not keep the predictor"},
    "low": {"Description": "Lower end of its 95 % confidence interval"},
    "high": {"Description": "Upper end of its 95 % confidence interval"},
    "agrees": {"Description": "Agreement, as defined on the page of the study"},
}
RECOVERY: Dictionary = {
    **{name: CELLS[name] for name in ("table", "row", "column", "kind", "published")},
    "value": {"Description": "Median over the cohorts"},
    "low": {"Description": "2.5 % quantile over the cohorts"},
    "high": {"Description": "97.5 % quantile over the cohorts"},
    "recovered": {"Description": "Share of the cohorts whose cell agrees with the printed one", "Units": "1"},
    "n": {"Description": "Number of cohorts", "Units": "count"},
}


def recovery(compared: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the recovery of each cell; tables in `compared` have the columns of `CELLS` and equal rows."""
    first = compared[0]
    values = pd.concat([c["value"] for c in compared], axis=1)
    table = first[["table", "row", "column", "kind", "published"]].copy()
    table["value"] = values.median(axis=1)
    table["low"], table["high"] = values.quantile(0.025, axis=1), values.quantile(0.975, axis=1)
    table["recovered"] = pd.concat([c["agrees"] for c in compared], axis=1).mean(axis=1)
    table["n"] = len(compared)
    return table


def marks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with "yes" and "no" in its column agrees."""
    return table.assign(agrees=table["agrees"].map({True: "yes", False: "no"}))


def lines(cells: pd.DataFrame, shares: pd.DataFrame) -> list[str]:
    """Return a line of text per cell (value, printed value, agreement, recovery), followed by averages."""
    found = []
    width = max(len(str(row)) for row in cells["row"])
    for cell, share in zip(cells.to_dict("records"), shares.to_dict("records"), strict=True):
        where = f"{section(cell['table'])}  {cell['row']:<{width}} {cell['column']:<26}"
        mark = "yes" if cell["agrees"] else "no"
        percent = f"{100 * share['recovered']:4.0f} %"
        found.append(f"{where} {cell['value']:>10.4g}  printed {cell['published']:>7}  {mark:<3} {percent}")
    for (table, kind), part in shares.groupby(["table", "kind"], sort=False):
        mean = 100 * float(part["recovered"].mean())
        found.append(f"{section(str(table))}, {kind}: {len(part)} cells, {mean:.0f} % recovered on average")
    return found


def section(table: str) -> str:
    """Return the heading of a table: "Table 2", or the name of a section of the text."""
    return f"Table {table}" if table.isdigit() else table
