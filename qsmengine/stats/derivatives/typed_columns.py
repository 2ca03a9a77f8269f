"""Columns of participants.tsv as numbers or categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd

FEW = 0.1
"""Share of a column's values that may be text among numbers; each such value excludes one participant."""

Unread: TypeAlias = dict[str, dict[str, str]]
"""Column -> participant -> text in place of a number ("89+", which BIDS asks for above an age of 89)."""


def read_column(
    name: str, text: pd.Series, categorical: bool, problems: list[tuple[str, str]], unread: Unread
) -> pd.Series:
    """Return numbers as float64, and text (or all values, if `categorical`) as categories.

    `text` is indexed by participant. Faults are appended to `problems`. A few texts among numbers become NaN
    and are recorded in `unread`: they exclude their participants, not the column.
    """
    there = text.notna()
    if text[there].nunique() < 2:
        problems.append(
            (name, f"the column is constant ({text[there].iloc[0]!r})" if there.any() else "has no value")
        )
    numbers = pd.to_numeric(text, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    wrong = there & numbers.isna()
    if categorical or (there.any() and wrong[there].all()):
        return text.astype("category")
    if wrong.sum() > max(1.0, FEW * there.sum()):
        problems.append((name, f"mixes numbers and text: {text[wrong].iloc[0]!r} of {text.index[wrong][0]}"))
    elif wrong.any():
        unread[name] = {str(participant): repr(value) for participant, value in text[wrong].items()}
    return numbers


def why_missing(name: str, participant: object, unread: Mapping[str, Mapping[str, str]]) -> str:
    """Return why a participant has no value in a column."""
    found = unread.get(name, {}).get(str(participant))
    return f"{name} is n/a" if found is None else f"{name} is {found}, not a number"
