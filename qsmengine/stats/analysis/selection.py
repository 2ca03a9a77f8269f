"""Rows and groups that take part in a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.analysis.entries import Groups
from qsmengine.stats.derivatives.typed_columns import missing_word, spelt_twice, why_missing
from qsmengine.stats.problems import did_you_mean

SHOWN = 8
"""Number of groups or values that a message lists."""


def group_levels(groups: Groups, found: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the groups to compare, the reference first, and what is wrong with them.

    `found` are the groups of the column; they take part in alphabetical order unless the design lists some.
    """
    known = sorted(found)
    asked = known if groups.levels is None else list(groups.levels)
    levels = tuple(dict.fromkeys([groups.reference, *asked]))
    groups_are = f"; its groups are {', '.join(known[:SHOWN])}{', ...' if len(known) > SHOWN else ''}"
    problems = [f"has no group {did_you_mean(name, known)}{groups_are}" for name in levels if name not in known]
    problems += filter(None, [spelt_twice(known), missing_word(levels)])
    if len(levels) < 2:
        problems.append(f"has only one group: {levels[0]}")
    return levels, problems


def texts(values: pd.Series) -> list[str]:
    """Return the values as a design names them: whole numbers without decimals."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return [f"{value:.15g}" for value in values]
    return values.astype(str).tolist()


def where_texts(name: str, wanted: Iterable[str], values: pd.Series) -> tuple[str, ...]:
    """Return the values that `where` selects in a column; InputError if the column has none of one of them."""
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    known = sorted(set(texts(values.dropna())))
    found = []
    for value in wanted:
        number = pd.to_numeric(value, errors="coerce") if numeric else np.nan
        found.append(value if np.isnan(number) else f"{number:.15g}")
        if found[-1] not in known:
            shown = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
            raise InputError(f"where: {name} has no value {did_you_mean(value, known)}; its values are {shown}")
    return tuple(found)


def left_out(
    data: pd.DataFrame,
    needed: Iterable[str],
    allowed: Mapping[str, Sequence[str]],
    unread: Mapping[str, Mapping[str, str]],
    *,
    remark: str = "",
) -> dict[int, str]:
    """Return the position of every row that cannot take part, with the reason.

    Parameters
    ----------
    data
        Rows with a column participant_id.
    needed
        Columns in which a row must have a value.
    allowed
        Column -> values that take part; `remark` is added to the reason of other values.
    unread
        Column -> participant -> text in place of a number.
    """
    reasons: dict[int, list[str]] = {}
    participants = data["participant_id"].to_numpy(dtype=object)
    for name in needed:
        for i in np.flatnonzero(data[name].isna().to_numpy()):
            reasons.setdefault(int(i), []).append(why_missing(name, participants[i], unread))
    for name, wanted in allowed.items():
        known = data[name].notna().to_numpy()
        for row, value in enumerate(texts(data[name])):
            if known[row] and value not in wanted:
                reasons.setdefault(row, []).append(f"{name} is {value}{remark}")
    return {i: "; ".join(parts) for i, parts in reasons.items()}


def require_two_each(data: pd.DataFrame, column: str, levels: Sequence[str]) -> None:
    """Raise InputError unless every level has two rows."""
    counts = data[column].astype(str).value_counts().reindex(list(levels), fill_value=0)
    small = [f"{name} has {n}" for name, n in counts.items() if n < 2]
    if small:
        raise InputError(f"every group needs two participants: {', '.join(small)}")


def with_groups(
    data: pd.DataFrame, column: str, levels: Sequence[str], covariates: Sequence[str]
) -> pd.DataFrame:
    """Return the group column as categories in the order of `levels`, and the covariates."""
    columns = data[list(covariates)].copy()
    codes = pd.Categorical(data[column].astype(str).to_numpy(object), categories=list(levels))
    columns.insert(0, column, pd.Series(codes, index=data.index))
    return columns
