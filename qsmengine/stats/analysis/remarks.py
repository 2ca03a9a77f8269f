"""Remarks on what a model takes at its word and only the user can judge."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from qsmengine.errors import shorten

MOST_CODES = 9
"""Largest number of different whole numbers that may be codes."""
EACH = 3
"""Mean number of rows for each of them, from which they look like codes."""


def remark_on_sessions(rows: pd.DataFrame) -> list[str]:
    """Return a remark if the rows, one per participant, come from different sessions."""
    found = rows["session_id"].dropna().value_counts().sort_index()
    if len(found) < 2:
        return []
    counted = shorten([f"ses-{name} ({count})" for name, count in found.items()])
    return [f"the model compares tables of different sessions: {counted}; `session` chooses one"]


def remarks_on_codes(rows: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return a remark for each numeric column whose few whole numbers may be codes, such as sites 1, 2, 3."""
    remarks = []
    for name in dict.fromkeys(names):
        if not pd.api.types.is_numeric_dtype(rows[name].dtype):
            continue
        values = rows[name].to_numpy(np.float64)
        levels = np.unique(values)
        few = 3 <= len(levels) <= min(MOST_CODES, len(values) // EACH)
        if few and np.all(levels == np.round(levels)):
            shown = shorten([f"{level:g}" for level in levels])
            remarks.append(
                f"{name} ({shown}) enters as a number with one slope; "
                "list it under `categorical` if its numbers are codes"
            )
    return remarks
