"""Cells of the region tables that the outcomes of a design select, with wildcards."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import numpy as np
import pandas as pd

from qsmengine.stats.analysis.design import RegionOutcome
from qsmengine.stats.derivatives.collect import CELL
from qsmengine.stats.problems import did_you_mean

CellKey: TypeAlias = tuple[str, ...]
"""Region, hemisphere, map and statistic."""


def select_cells(
    outcomes: Sequence[RegionOutcome], values: pd.DataFrame, problems: list[tuple[str, str]]
) -> dict[CellKey, bool]:
    """Return the selected cells, and whether each is named without wildcards.

    Parameters
    ----------
    outcomes
        Of the design.
    values
        Tidy region values with the columns of `CELL`.
    problems
        Names that match nothing are appended (where, what).
    """
    cells = values.drop_duplicates(list(CELL))[list(CELL)]
    chosen: dict[CellKey, bool] = {}
    for outcome in outcomes:
        patterns = outcome.model_dump()
        named = not any(c in pattern for key in CELL for pattern in patterns[key] for c in "*?[")
        for cell in _matches(outcome, cells, problems):
            chosen[cell] = chosen.get(cell, False) or named
    return chosen


def _matches(outcome: RegionOutcome, cells: pd.DataFrame, problems: list[tuple[str, str]]) -> list[CellKey]:
    patterns = outcome.model_dump()
    keep = np.ones(len(cells), dtype=np.bool_)
    for key in CELL:
        for pattern in patterns[key]:
            named = key in outcome.model_fields_set
            if named and not any(fnmatchcase(str(known), pattern) for known in cells[key].unique()):
                close = did_you_mean(pattern, (str(k) for k in cells[key].unique()))
                problems.append((f"outcome.{key}", f"the tables have no {key} {close}"))
        keep &= (
            cells[key].map(lambda v, key=key: any(fnmatchcase(str(v), p) for p in patterns[key])).to_numpy(bool)
        )
    found = list(cells[keep].itertuples(index=False, name=None))
    if not found and not problems:
        asked = ", ".join(f"{key} {'/'.join(patterns[key])}" for key in CELL if patterns[key] != ("",))
        problems.append(("outcome", f"no column of the tables is {asked}"))
    return found
