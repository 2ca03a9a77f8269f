"""Units of the values in region tables, from their data dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_json


def with_units(measures: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of a cohort with a column `unit`, None where no dictionary states it.

    Raises
    ------
    InputError
        When a map has different units in different tables.
    """
    long = measures.copy()
    dictionaries = {path: _dictionary(Path(str(path))) for path in long["source"].unique()}
    columns = np.where(long["map"] == "", long["statistic"], long["map"] + "_" + long["statistic"])
    pairs = zip(long["source"], columns, strict=True)
    long["unit"] = [dictionaries[source].get(column) for source, column in pairs]
    for (name, statistic), rows in long.dropna(subset=["unit"]).groupby(["map", "statistic"]):
        found = rows.drop_duplicates("unit")
        if len(found) > 1:
            one, other = found.iloc[0], found.iloc[1]
            raise InputError(
                f"in {other['unit']}, {one['source']} has {one['unit']}",
                source=other["source"],
                field=f"{name}_{statistic}".strip("_"),
            )
    return long


def _dictionary(table: Path) -> dict[str, str]:
    """Units of a region table's columns from its data dictionary; empty when there is none."""
    path = table.with_suffix(".json")
    if not path.is_file():
        return {}
    entries = {name: entry for name, entry in read_json(path).items() if isinstance(entry, Mapping)}
    return {name: str(entry["Units"]) for name, entry in entries.items() if "Units" in entry}
