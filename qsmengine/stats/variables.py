"""Group and covariates of a design, read from the text columns of participants.tsv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from qsmengine.stats.design import Design, did_you_mean

FEW = 0.1
"""Part of a column's values that may be text among numbers; each leaves out one participant."""

Unread: TypeAlias = dict[str, dict[str, str]]
"""Column -> participant -> text that stands where a number should ("89+", the age BIDS asks for above 89)."""


@dataclass(frozen=True)
class Variables:
    """The design's columns, typed.

    Parameters
    ----------
    table
        Indexed by participant_id: the group column (text) and each covariate (float or categorical).
    group
        Name of the group column.
    levels
        Groups to compare, the reference first, the others in alphabetical order or as listed.
    covariates
        Names of the covariates.
    missing
        participant_id -> why it cannot take part.
    """

    table: pd.DataFrame
    group: str
    levels: tuple[str, ...]
    covariates: tuple[str, ...]
    missing: Mapping[str, str]


def read_variables(design: Design, participants: pd.DataFrame, problems: list[tuple[str, str]]) -> Variables:
    """Type the columns a design names; what is wrong with them is appended to `problems` (where, what)."""
    table = participants.set_index("participant_id")
    wanted = (design.groups.column, *design.covariates)
    doubles = {name for name in wanted if wanted.count(name) > 1}
    problems += [(name, "stands in the design twice") for name in sorted(doubles)]
    absent = [name for name in wanted if name not in table]
    problems += [
        (name, f"participants.tsv has no column {did_you_mean(name, table.columns)}") for name in absent
    ]
    columns: dict[str, pd.Series] = {}
    unread: Unread = {}
    for name in design.covariates:
        if name in table:
            columns[name] = read_column(name, table[name], name in design.categorical, problems, unread)
    group = design.groups.column
    levels: tuple[str, ...] = ()
    if group in table:
        columns[group] = table[group]
        levels = _levels(design, table[group], problems)
    typed = pd.DataFrame(columns, index=table.index)
    missing = {} if absent else _reasons(typed, design, levels, unread)
    return Variables(typed, group, levels, design.covariates, missing)


def read_column(
    name: str, text: pd.Series, categorical: bool, problems: list[tuple[str, str]], unread: Unread
) -> pd.Series:
    """Return numbers as float64, text (or all, where `categorical`) as categories.

    `text` is indexed by participant. Faults go to `problems`. A few texts among numbers become NaN and go to
    `unread`: they leave out their participants, not the column.
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


def _levels(design: Design, text: pd.Series, problems: list[tuple[str, str]]) -> tuple[str, ...]:
    """List the groups to compare, the reference first."""
    found = sorted(text.dropna().unique().tolist())
    asked = list(design.groups.levels) if design.groups.levels is not None else found
    unknown = [name for name in dict.fromkeys([design.groups.reference, *asked]) if name not in found]
    problems += [(design.groups.column, f"has no group {did_you_mean(name, found)}") for name in unknown]
    if design.groups.reference not in asked and design.groups.reference in found:
        problems.append((design.groups.column, f"levels leave out the reference {design.groups.reference!r}"))
    if len(set(asked)) < 2:
        problems.append((design.groups.column, f"only one group: {', '.join(asked) or 'none'}"))
    others = [name for name in dict.fromkeys(asked) if name != design.groups.reference]
    return (design.groups.reference, *others)


def _reasons(table: pd.DataFrame, design: Design, levels: tuple[str, ...], unread: Unread) -> dict[str, str]:
    reasons: dict[str, list[str]] = {}
    for name in (design.groups.column, *design.covariates):
        for participant in table.index[table[name].isna()]:
            reasons.setdefault(str(participant), []).append(why_missing(name, participant, unread))
    group = table[design.groups.column]
    for participant, level in group[group.notna() & ~group.isin(list(levels))].items():
        reasons.setdefault(str(participant), []).append(f"{design.groups.column} is {level}, not compared")
    return {participant: "; ".join(parts) for participant, parts in reasons.items()}
