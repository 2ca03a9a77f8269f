"""Collect the region tables and participants of a BIDS derivatives folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from qsmengine.errors import InputError, shorten
from qsmengine.stats.regions.files import COLUMNS, RELIABLE, VOLUMES, split_column
from qsmengine.stats.tables import read_table

TABLE_PATTERN = "*_desc-dgm_stats.tsv"
ENTITY = re.compile(r"(?:^|_)(sub|ses)-([0-9A-Za-z]+)(?=_)")
SESSION = ("participant_id", "session_id")
CELL = ("region", "hemisphere", "map", "statistic")
"""Columns that identify a value in the table of a participant; map is empty for volumes and n_voxels."""


@dataclass(frozen=True)
class Cohort:
    """Tables of a cohort from a derivatives folder, as read.

    Parameters
    ----------
    measures
        Tidy: participant_id, session_id, source (file), region, hemisphere, map, statistic, value.
    participants
        participants.tsv, one row per participant_id ("sub-01"), every other column as text.
    sessions
        All ``sub-*/sub-*_sessions.tsv``: participant_id, session_id, other columns as text; may be empty.
    """

    measures: pd.DataFrame
    participants: pd.DataFrame
    sessions: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["participant_id", "session_id"])
    )


def collect_tables(derivatives: str | Path, *, participants: str | Path | None = None) -> pd.DataFrame:
    """Return every value of every ``*_desc-dgm_stats.tsv`` below `derivatives`, joined with participants.tsv.

    Parameters
    ----------
    derivatives
        BIDS derivatives folder with ``sub-*`` folders.
    participants
        participants.tsv; the one in `derivatives` when None.

    Returns
    -------
    pandas.DataFrame
        Tidy: participant_id, session_id, source, region, hemisphere, map, statistic, value, and the
        columns of participants.tsv (text). A value that is n/a is NaN.

    Raises
    ------
    InputError
        When there is no table, a table or participants.tsv cannot be read, or a participant_id is repeated.
    """
    cohort = read_cohort(derivatives, participants=participants)
    return cohort.measures.merge(cohort.participants, on="participant_id", how="left", validate="many_to_one")


def read_cohort(derivatives: str | Path, *, participants: str | Path | None = None) -> Cohort:
    """Return region tables and participants separately, which shows participants without table or row.

    Parameters and errors are those of :func:`collect_tables`.
    """
    folder = Path(derivatives)
    if not folder.is_dir():
        raise InputError("no such folder", source=folder)
    files = sorted(path for subject in folder.glob("sub-*") for path in subject.rglob(TABLE_PATTERN))
    if not files:
        raise InputError(f"no sub-*/**/{TABLE_PATTERN} in it", source=folder)
    table = folder / "participants.tsv" if participants is None else Path(participants)
    measures = pd.concat([_read_values(path) for path in files], ignore_index=True)
    people = _read_participants(table)
    _check_same_people(measures["participant_id"], people["participant_id"], table)
    return Cohort(measures, people, _read_sessions(folder))


def _read_sessions(folder: Path) -> pd.DataFrame:
    tables = [pd.DataFrame(columns=[*SESSION], dtype=object)]
    for path in sorted(folder.glob("sub-*/sub-*_sessions.tsv")):
        table = read_table(path)
        if (
            "session_id" not in table
            or table["session_id"].isna().any()
            or table["session_id"].duplicated().any()
        ):
            raise InputError("every row needs a distinct one", source=path, field="session_id")
        table["session_id"] = table["session_id"].str.removeprefix("ses-")
        table.insert(0, "participant_id", path.parent.name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _read_participants(path: Path) -> pd.DataFrame:
    table = read_table(path).dropna(how="all").reset_index(drop=True)
    if "participant_id" not in table:
        raise InputError(
            f"has no such column; columns: {', '.join(table.columns)}", source=path, field="participant_id"
        )
    if table["participant_id"].isna().any():
        row = int(table["participant_id"].isna().to_numpy().argmax()) + 2
        raise InputError(f"line {row} has none", source=path, field="participant_id")
    table["participant_id"] = "sub-" + table["participant_id"].str.strip().str.removeprefix("sub-")
    doubles = table.loc[table["participant_id"].duplicated(), "participant_id"].unique().tolist()
    if doubles:
        raise InputError(
            f"{shorten(doubles)} more than once: keep one row for each participant; columns that differ "
            "between sessions belong in sub-*/sub-*_sessions.tsv",
            source=path,
            field="participant_id",
        )
    return table


def _check_same_people(measured: Iterable[str], listed: Iterable[str], path: Path) -> None:
    """Raise InputError if ids are only written differently, or no participant has a region table."""
    folders, rows = set(measured), set(listed)
    by_core = {_core(folder): folder for folder in sorted(folders - rows)}
    pairs = [(row, by_core[_core(row)]) for row in sorted(rows - folders) if _core(row) in by_core]
    if pairs:
        raise InputError(
            f"{pairs[0][0]} is {pairs[0][1]} in the folder; {len(pairs)} of the ids differ from the names of "
            "folders by leading zeros, decimals, case or punctuation alone: write them as in the folders",
            source=path,
            field="participant_id",
        )
    if not folders & rows:
        raise InputError(
            f"no participant has a region table: the rows are {shorten(sorted(rows))}, the folders "
            f"{shorten(sorted(folders))}",
            source=path,
            field="participant_id",
        )


def _core(participant: str) -> str:
    """Return the letters of a label in lower case and its numbers without leading zeros."""
    label = re.sub(r"\.0+$", "", participant.casefold().removeprefix("sub-"))
    plain = re.sub(r"[^0-9a-z]", "", label).removeprefix("sub")
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", plain)


def _read_values(path: Path) -> pd.DataFrame:
    """Read one region table as tidy rows; structures that it marks as not reliable have no value."""
    entities = dict(ENTITY.findall(path.name))
    if "sub" not in entities:
        raise InputError("the file name has no sub- entity", source=path)
    table = read_table(path)
    for key in ("region", "hemisphere"):
        if key not in table or table[key].isna().any():
            raise InputError(
                "is missing in some rows" if key in table else "no such column", source=path, field=key
            )
    if table.duplicated(["region", "hemisphere"]).any():
        row = table[table.duplicated(["region", "hemisphere"])].iloc[0]
        raise InputError(f"{row['region']} {row['hemisphere']} appears twice", source=path, field="region")
    measures = [c for c in table.columns if c in VOLUMES or c not in COLUMNS]
    if RELIABLE in table:
        table.loc[table[RELIABLE] == "0", measures] = None
    tidy = table.melt(["region", "hemisphere"], measures, var_name="column", value_name="value")
    tidy["value"] = _numbers(tidy, path)
    try:
        cells = {c: ("", c) if c in COLUMNS else split_column(c) for c in measures}
    except InputError as error:
        raise error.at(path) from None
    tidy["map"] = tidy["column"].map({c: cell[0] for c, cell in cells.items()})
    tidy["statistic"] = tidy["column"].map({c: cell[1] for c, cell in cells.items()})
    tidy.insert(0, "source", str(path))
    tidy.insert(0, "session_id", entities.get("ses"))
    tidy.insert(0, "participant_id", f"sub-{entities['sub']}")
    return tidy[["participant_id", "session_id", "source", *CELL, "value"]]


def _numbers(tidy: pd.DataFrame, path: Path) -> pd.Series[float]:
    numbers = pd.to_numeric(tidy["value"], errors="coerce").astype("float64")
    wrong = tidy[~np.isfinite(numbers) & tidy["value"].notna()]
    if len(wrong):
        raise InputError(
            f"{wrong['value'].iloc[0]!r} is not a finite number",
            source=path,
            field=str(wrong["column"].iloc[0]),
        )
    return numbers
