"""Columns of participants.tsv as numbers or categories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd

FEW = 0.1
"""Share of a column's values that may be text among numbers; each such value excludes one participant."""

FEWEST = 5
"""Least number of values among which one can be far from the others."""
FAR = 10.0
"""Distance from the median, in median absolute deviations, beyond which a value is far."""
MISSING_CODES = (-9, -99, -999, -9999, 99, 999, 9999)
"""Numbers that stand for missing values in many tables."""
YOUNGEST = 10.0
"""Least age [years] of all others above which an age of 0 stands for a missing one."""
SYNONYMS = (
    ("f", "female", "w", "woman"), ("m", "male", "man"),
    ("l", "left"), ("r", "right"), ("y", "yes"), ("n", "no"),
)  # fmt: skip
"""Levels, in lower case, that mean the same."""
MISSING_WORDS = ("nan", "na", "n.a.", "n/a", "<na>", "#n/a", "null", "-", "--", ".", "?")
"""Words, in lower case, that other programs write for a missing value; tables of BIDS write "n/a"."""
_NUMBER_IN_TEXT = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*[^\W\d]{0,12}\.?")

Unread: TypeAlias = dict[str, dict[str, str]]
"""Column -> participant -> text or code in place of a number ("89+", as BIDS asks for above an age of 89)."""


def read_column(
    name: str, text: pd.Series, categorical: bool, problems: list[tuple[str, str]], unread: Unread
) -> pd.Series:
    """Return numbers as float64, and text (or all values, if `categorical`) as categories.

    `text` is indexed by participant. Faults are appended to `problems`. A few texts among numbers, and codes
    for missing values that the other values contradict, become NaN and are recorded in `unread`: they exclude
    their participants, not the column.
    """
    there = text.notna()
    if text[there].nunique() < 2:
        problems.append(
            (name, f"the column is constant ({text[there].iloc[0]!r})" if there.any() else "has no value")
        )
    numbers = pd.to_numeric(text, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    wrong = there & numbers.isna()
    if categorical or (there.any() and wrong[there].all()):
        found = text.astype("category")
        if reason := odd_levels(found, categorical):
            problems.append((name, reason))
        return found
    if wrong.sum() > max(1.0, FEW * there.sum()):
        problems.append((name, f"mixes numbers and text: {text[wrong].iloc[0]!r} of {text.index[wrong][0]}"))
        return numbers
    codes = _far_codes(numbers)
    if name.casefold() == "age":
        codes |= _impossible_ages(numbers)
    reasons = {str(participant): f"{value!r}, not a number" for participant, value in text[wrong].items()}
    reasons |= {
        str(participant): f"{value:g}, a usual code for a missing value, which the other values contradict"
        for participant, value in numbers[codes].items()
    }
    if reasons:
        unread[name] = reasons
    return numbers.mask(codes)


def _far_codes(numbers: pd.Series) -> pd.Series:
    """Return where a usual code for a missing value is far from the other values, or alone negative."""
    coded = numbers.isin(MISSING_CODES)
    others = numbers[~coded].dropna()
    if len(others) < FEWEST:
        return coded & False
    middle = others.median()
    spread = max(float((others - middle).abs().median()), 1e-3 * abs(middle))
    alone = coded & (numbers < 0) & bool((others >= 0).all())
    return alone | (coded & ((numbers - middle).abs() > FAR * spread))


def _impossible_ages(ages: pd.Series) -> pd.Series:
    """Return where an age [years] is negative, or 0 although nobody else is a child."""
    return (ages < 0) | ((ages == 0) & bool(ages[ages > 0].min() >= YOUNGEST))


def odd_levels(values: pd.Series, categorical: bool) -> str:
    """Return why the levels of a category are probably not what was meant; "" if nothing is odd.

    Numbers that are text for a decimal comma or a unit would be entered as one level each. `categorical`
    states that the column is one of codes.
    """
    known = values.dropna()
    return _odd_levels([str(level) for level in known.unique()], len(known), categorical)


def _odd_levels(levels: list[str], count: int, categorical: bool) -> str:
    if reason := spelt_twice(levels) or missing_word(levels):
        return reason
    numbers = [level for level in levels if _NUMBER_IN_TEXT.fullmatch(level)]
    if not categorical and len(levels) > 2 and len(numbers) == len(levels):
        commas = all("," in level for level in levels)
        if commas or 2 * len(levels) > count:
            return (
                f"values such as {levels[0]!r} are text: write numbers with a decimal point and without a "
                "unit, or list the column under `categorical`"
            )
    return ""


def spelt_twice(levels: Iterable[str]) -> str:
    """Return which two levels are one level written in two ways; "" if none are."""
    seen: dict[str, str] = {}
    for level in levels:
        other = seen.setdefault(_plain(level), level)
        if other != level:
            how = "case or blanks" if _number(level) is None else "how the number is written"
            return f"the values {other!r} and {level!r} differ only in {how}: write them alike"
    for words in SYNONYMS:
        same = [level for plain, level in seen.items() if plain in words]
        if len(same) > 1 and max(map(len, same)) > 1:  # two letters may be two sites
            return f"the values {same[0]!r} and {same[1]!r} mean the same: write them alike"
    return ""


def missing_word(levels: Iterable[str]) -> str:
    """Return which level is another program's word for a missing value; "" if none is."""
    for level in levels:
        if level.casefold() in MISSING_WORDS:
            return (
                f"the value {level!r} usually stands for a missing one and would be a level: write n/a where a "
                "value is missing, or another name for the level"
            )
    return ""


def _plain(level: str) -> str:
    number = _number(level)
    return " ".join(level.casefold().split()) if number is None else f"{number:.15g}"


def _number(text: str) -> float | None:
    """Return the finite number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def why_missing(name: str, participant: object, unread: Mapping[str, Mapping[str, str]]) -> str:
    """Return why a participant has no value in a column."""
    found = unread.get(name, {}).get(str(participant))
    return f"{name} is {'n/a' if found is None else found}"
