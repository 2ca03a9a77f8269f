"""Table of a cohort: a row per participant and session, a column per variable, with units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.analysis.description import Analysis, Cell, Combat
from qsmengine.stats.analysis.entries import Groups
from qsmengine.stats.derivatives.collect import CELL, SESSION, Cohort
from qsmengine.stats.derivatives.typed_columns import Unread, read_column
from qsmengine.stats.derivatives.units import with_units
from qsmengine.stats.models.combat import combat
from qsmengine.stats.problems import did_you_mean, raise_problems

Exclusion = dict[str, str | None]


@dataclass(frozen=True)
class CohortTable:
    """The table, a unit and a description of each column, and exclusions.

    Parameters
    ----------
    table
        participant_id, session_id, the columns of participants.tsv (and sessions.tsv), variables, logarithms,
        harmonised columns. Numbers are float64, codes and text are categories; missing values are NaN.
    unread
        Column -> participant -> text in place of a number, which is NaN in the table.
    units
        Column -> unit; columns of unknown unit are absent.
    """

    table: pd.DataFrame
    units: Mapping[str, str]
    descriptions: Mapping[str, str]
    excluded: tuple[Exclusion, ...] = ()
    unread: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def long_table(cohort: Cohort) -> pd.DataFrame:
    """Return every value of every region table: participant, session, cell, value, unit.

    Raises
    ------
    InputError
        When a map has different units in different tables.
    """
    return with_units(cohort.measures)[[*SESSION, *CELL, "value", "unit"]]


def cohort_table(analysis: Analysis, cohort: Cohort, *, source: object = "analysis") -> CohortTable:
    """Return the columns that an analysis names.

    Raises
    ------
    InputError
        Listing every problem: a name of two columns, a cell that no table has, a mixture of numbers and text,
        the logarithm of a number that is not positive, failed harmonisation.
    """
    long = long_table(cohort)
    problems: list[tuple[str, str]] = []
    unread: Unread = {}
    table = _participants(analysis, cohort, problems, unread)
    keys = list(SESSION)
    seen = long[keys].drop_duplicates()
    table = seen.merge(table, on=keys if "session_id" in table else ["participant_id"], how="outer")
    units: dict[str, str] = {}
    descriptions = dict.fromkeys(table.columns, "column of participants.tsv or sessions.tsv")
    for name, cell in analysis.variables.items():
        if name in table:
            problems.append((name, "is a column of participants.tsv and a variable"))
            continue
        values, unit = _values(name, cell, long, problems)
        table = table.merge(values, on=keys, how="left")
        descriptions[name] = " ".join(part for part in cell.model_dump().values() if part)
        if unit is not None:
            units[name] = unit
    raise_problems(problems, "the cohort table cannot be built", source)
    return add_columns(analysis, CohortTable(table, units, descriptions, unread=unread), source=source)


def add_columns(analysis: Analysis, cohort: CohortTable, *, source: object = "analysis") -> CohortTable:
    """Add logarithms and harmonised columns of an analysis; raises as :func:`cohort_table`."""
    table, units, descriptions = cohort.table.copy(), dict(cohort.units), dict(cohort.descriptions)
    problems: list[tuple[str, str]] = []
    _add_logs(analysis, table, descriptions, problems)
    raise_problems(problems, "the cohort table cannot be built", source)
    excluded = list(cohort.excluded)
    if analysis.combat is not None:
        table = _add_harmonised(analysis.combat, table, units, descriptions, excluded, source)
    return CohortTable(table.reset_index(drop=True), units, descriptions, tuple(excluded), unread=cohort.unread)


def _participants(
    analysis: Analysis, cohort: Cohort, problems: list[tuple[str, str]], unread: Unread
) -> pd.DataFrame:
    """Return the typed columns of participants.tsv and sessions.tsv, with session_id if there are sessions."""
    people = cohort.participants
    if len(cohort.sessions):
        clash = sorted(set(map(str, people)) & set(map(str, cohort.sessions)) - set(SESSION))
        problems += [(name, "is a column of participants.tsv and of sessions.tsv") for name in clash]
        people = people.merge(cohort.sessions.drop(columns=clash), on="participant_id", how="left")
    stray = [name for name in analysis.categorical if name not in people]
    problems += [
        (name, f"categorical: participants.tsv has no column {did_you_mean(name, people.columns)}")
        for name in stray
    ]
    groups = (getattr(model, "groups", None) for model in analysis.models)
    codes = {*analysis.categorical, *(found.column for found in groups if isinstance(found, Groups))}
    columns = {name: people[name] for name in SESSION if name in people}
    for name in people.columns.difference(list(SESSION), sort=False):
        mixed: list[tuple[str, str]] = []
        text = people.set_index("participant_id")[name]
        typed = read_column(name, text, name in codes, mixed, unread)
        columns[name] = typed.set_axis(people.index)
        problems += [entry for entry in mixed if "mixes" in entry[1]]
    return pd.DataFrame(columns)


def _values(
    name: str, cell: Cell, long: pd.DataFrame, problems: list[tuple[str, str]]
) -> tuple[pd.DataFrame, str | None]:
    rows = pd.Series(data=True, index=long.index)
    for key in CELL:
        wanted = getattr(cell, key)
        if not (long[key] == wanted).any():
            known = (str(v) for v in long[key].unique())
            problems.append((name, f"the tables have no {key} {did_you_mean(wanted, known)}"))
        rows &= long[key] == wanted
    found = long[rows]
    if found.empty and not (problems and problems[-1][0] == name):
        problems.append((name, "no table has this combination of region, hemisphere, map and statistic"))
    doubles = found[found.duplicated(list(SESSION))]
    if len(doubles):
        problems.append((name, f"{doubles['participant_id'].iloc[0]} has several tables of one session"))
    unit = found["unit"].dropna()
    values = found[[*SESSION, "value"]].drop_duplicates(list(SESSION)).rename(columns={"value": name})
    return values, str(unit.iloc[0]) if len(unit) else None


def _add_logs(
    analysis: Analysis, table: pd.DataFrame, descriptions: dict[str, str], problems: list[tuple[str, str]]
) -> None:
    for name, log in analysis.log.items():
        if name in table:
            problems.append((name, "already is a column"))
        elif log.of not in table or isinstance(table[log.of].dtype, pd.CategoricalDtype):
            problems.append((name, f"there is no numeric column {did_you_mean(log.of, table.columns)}"))
        else:
            shifted = table[log.of] + log.offset
            bad = table.loc[shifted <= 0, "participant_id"]
            if len(bad):
                what = f"{log.of} + {log.offset:g} of {bad.iloc[0]} is not positive; add an offset?"
                problems.append((name, what))
            else:
                table[name] = np.log(shifted)
                descriptions[name] = f"natural logarithm of {log.of}" + (
                    f" + {log.offset:g}" if log.offset else ""
                )


def _add_harmonised(
    plan: Combat,
    table: pd.DataFrame,
    units: dict[str, str],
    descriptions: dict[str, str],
    excluded: list[Exclusion],
    source: object,
) -> pd.DataFrame:
    needed = [plan.site, *plan.columns, *plan.preserve]
    absent = [name for name in needed if name not in table]
    if absent:
        raise InputError(f"no column {did_you_mean(absent[0], table.columns)}", source=source, field="combat")
    complete = table[needed].notna().all(axis=1)
    for row in table[~complete].to_dict("records"):
        missing = [name for name in needed if pd.isna(row[name])]
        excluded.append(
            {
                "model": "combat",
                "participant_id": str(row["participant_id"]),
                "session_id": row["session_id"] if isinstance(row["session_id"], str) else None,
                "reason": f"{', '.join(missing)} is n/a",
            }
        )
    rows = table[complete]
    try:
        result = combat(
            rows[list(plan.columns)].to_numpy(dtype=np.float64),
            rows[plan.site],
            rows[list(plan.preserve)],
            empirical_bayes=plan.empirical_bayes,
        )
    except InputError as error:
        raise InputError(error.message, source=source, field="combat") from None
    made = pd.DataFrame(result.adjusted, index=rows.index, columns=[f"combat_{c}" for c in plan.columns])
    for name in plan.columns:
        descriptions[f"combat_{name}"] = f"{name}, harmonised over {plan.site} by ComBat"
        if name in units:
            units[f"combat_{name}"] = units[name]
    return table.join(made)
