"""Values far from the others of their column, which are more often a wrong unit or a slip than a finding.

distance(x) = |x - median| / (1.4826 median |x - median|): in standard deviations if most values are normally
distributed. Up to half of the values may be wrong. Ages of which a few are in months, or susceptibilities of
which a few are in ppb, would otherwise decide a model without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.stats.derivatives.typed_columns import FEWEST
from qsmengine.stats.tables import Dictionary

FAR = 10.0
"""Distance from which a value is reported; skewed columns, such as lesion volumes, reach 5 to 8."""
_MAD = 1.4826

DISTANT: Dictionary = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
    "column": {"Description": "Outcome or covariate"},
    "value": {"Description": "Value in the model, in the unit of the column"},
    "median": {"Description": "Median of the column over the rows of the model"},
    "distance": {
        "Description": "|value - median| / (1.4826 median |value - median|); the table lists those above 10",
        "Units": "1",
    },
}
Row = dict[str, Any]


def distant_rows(data: pd.DataFrame, columns: Iterable[str]) -> list[Row]:
    """Return a row of the table `DISTANT` for each distant value of the numeric `columns`.

    Parameters
    ----------
    data
        Rows of one model: participant_id, optionally session_id, and the columns.
    """
    rows: list[Row] = []
    for name in columns:
        if not pd.api.types.is_numeric_dtype(data[name].dtype) or len(data) < FEWEST:
            continue
        values = data[name].to_numpy(np.float64)
        median = float(np.median(values))
        deviation = np.abs(values - median)
        spread = _MAD * float(np.median(deviation))
        if spread == 0.0:
            continue
        for i in np.flatnonzero(deviation > FAR * spread):
            one = data.iloc[i]
            rows.append(
                {
                    "participant_id": one["participant_id"],
                    "session_id": one.get("session_id"),
                    "column": name,
                    "value": values[i],
                    "median": median,
                    "distance": deviation[i] / spread,
                }
            )
    return rows


def distant_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows of several models as one table, every value once."""
    table = pd.DataFrame(list(rows), columns=list(DISTANT))
    return table.drop_duplicates(["participant_id", "session_id", "column"], ignore_index=True)


def distant_note(table: pd.DataFrame) -> str | None:
    """Return a sentence with the number of distant values per column and the farthest one, None without any."""
    if table.empty:
        return None
    counts = ", ".join(f"{n} of {name}" for name, n in table["column"].value_counts(sort=False).items())
    far = table.iloc[int(table["distance"].to_numpy(np.float64).argmax())]
    return (
        f"values far from all others: {counts}; the farthest is {far['value']:.6g} of {far['participant_id']} "
        f"(median {far['median']:.6g}): check units and images, or exclude them"
    )
