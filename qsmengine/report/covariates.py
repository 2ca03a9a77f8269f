"""Covariates of sessions: values expected from age, sex, site and scanner, by robust regression."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_json
from qsmengine.report.raw import raw_dataset
from qsmengine.report.records import ReconstructedSeries
from qsmengine.report.tsv import read_rows

NUMBERS, CATEGORIES = ("age",), ("sex", "site", "scanner")
"""Columns of participants.tsv that are adjusted for; groups are not, because they may differ by right."""
YEARS = {"year": 1.0, "y": 1.0, "yr": 1.0, "a": 1.0, "month": 1 / 12, "mo": 1 / 12, "week": 7 / 365.25}
YEARS |= {"wk": 7 / 365.25, "day": 1 / 365.25, "d": 1 / 365.25}
"""Length of the units of ages [years]."""
MEMBERS = 5
"""Least number of sessions of a level; smaller levels count as the most frequent one."""
COLLECT = 32
"""Fits after which their memory is freed: results of statsmodels refer to each other."""
PER_COLUMN, AT_LEAST = 3, 10
"""Sessions needed: AT_LEAST + PER_COLUMN for every column of the design."""


@dataclass(frozen=True)
class Covariates:
    """Names of covariates and, for each session, its row of the design without the constant."""

    names: tuple[str, ...] = ()
    rows: Mapping[str, tuple[float, ...]] | None = None
    _last: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def expected(self, sessions: tuple[str, ...], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the value expected for each session: Tukey's robust regression, or else the median."""
        fitted = _fitted(values, self._design(sessions))
        self._last["fits"] = self._last.get("fits", 0) + 1
        if self._last["fits"] % COLLECT == 0:
            gc.collect()
        return np.full(len(values), np.median(values)) if fitted is None else fitted

    def _design(self, sessions: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return the independent columns of the design (sessions, columns); the last one is kept."""
        if self._last.get("sessions") != sessions:
            rows = self.rows or {}
            complete = all(key in rows for key in sessions)
            design = np.array([rows[key] for key in sessions]) if complete else np.empty((len(sessions), 0))
            self._last.update(sessions=sessions, design=_independent(design))
        found: npt.NDArray[np.float64] = self._last["design"]
        return found


def _fitted(y: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return fitted values; None without varying columns, enough sessions, or statsmodels."""
    if columns.shape[1] < 2 or len(y) < AT_LEAST + PER_COLUMN * columns.shape[1] or np.ptp(y) == 0:
        return None
    try:
        from statsmodels.robust.norms import TukeyBiweight
        from statsmodels.robust.robust_linear_model import RLM
    except ImportError:
        return None
    fitted = np.asarray(RLM(y, columns, M=TukeyBiweight()).fit(maxiter=30).fittedvalues)
    return fitted if np.isfinite(fitted).all() else None


def _independent(design: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a constant and the standardised columns that do not depend on those before them."""
    columns = np.ones((len(design), 1))
    for column in design.reshape(len(design), -1).T:
        if np.ptp(column) > 0:
            wider = np.column_stack([columns, (column - column.mean()) / column.std()])
            columns = wider if np.linalg.matrix_rank(wider) == wider.shape[1] else columns
    return columns


def read_covariates(
    out: Path, sessions: Sequence[str], scanners: Mapping[str, str] | None = None
) -> Covariates:
    """Return the covariates of sessions from their participants and scanners.

    Levels with fewer than `MEMBERS` sessions count as the most frequent, a missing age as the mean.

    Raises
    ------
    InputError
        For a participants.tsv that cannot be read.
    """
    people = _people(out)
    cells: dict[str, list[str]] = {
        name: [_cell(people, key, name) for key in sessions] for name in (*NUMBERS, *CATEGORIES)
    }
    if scanners and not any(text != "n/a" for text in cells["scanner"]):
        cells["scanner"] = [scanners.get(key, "n/a") for key in sessions]
    columns: dict[str, list[list[float]]] = {name: [_numbers(cells[name])] for name in NUMBERS}
    columns |= {name: _dummies(cells[name]) for name in CATEGORIES}
    used = {name: [c for c in own if len(set(c)) > 1] for name, own in columns.items()}
    names = tuple(name for name, own in used.items() if own)
    if not names:
        return Covariates()
    matrix = [column for own in used.values() for column in own]
    return Covariates(names, dict(zip(sessions, zip(*matrix, strict=True), strict=True)))


def read_ages(out: Path, sessions: Sequence[str]) -> dict[str, float]:
    """Return the ages [years] of sessions; absent are those without one, and all whose unit is not known.

    The unit is the one in ``participants.json``, years without it.

    Raises
    ------
    InputError
        For a participants.tsv that cannot be read.
    """
    people = _people(out)
    unit = _years_per_unit(_table(out)) if people else math.nan
    ages = ((key, unit * _number(_cell(people, key, "age"))) for key in sessions)
    return {key: age for key, age in ages if math.isfinite(age)}


def _table(out: Path) -> Path:
    """Return the table of participants: ``OUT/participants.tsv``, or else that of the raw dataset."""
    own, raw = out / "participants.tsv", raw_dataset(out)
    return own if own.is_file() or raw is None else raw / own.name


def participants_problem(out: Path) -> str:
    """Return why the participants of the raw dataset cannot be used; "" if they can or are not needed."""
    table = _table(out)
    if table.parent == out:
        return ""
    try:
        _rows(table)
        _years_per_unit(table)
    except InputError as error:
        return f"{error}; age, sex, site and scanner are not used"
    return ""


def _people(out: Path) -> dict[str, dict[str, str]]:
    """Return the rows of participants.tsv by ``sub-X``; none without one that can be used."""
    return {} if participants_problem(out) else _rows(_table(out))


def _rows(table: Path) -> dict[str, dict[str, str]]:
    rows = read_rows(table, ("participant_id",)) if table.is_file() else []
    names = ["sub-" + row["participant_id"].removeprefix("sub-") for row in rows]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{twice} has more than one row: keep one", source=table, field="participant_id")
    return dict(zip(names, rows, strict=True))


def _years_per_unit(table: Path) -> float:
    """Return the unit of the ages [years]; NaN for one that is not known."""
    path = table.with_suffix(".json")
    entry = read_json(path).get("age") if path.is_file() else None
    unit = str(entry.get("Units") or "year") if isinstance(entry, dict) else "year"
    return YEARS.get(unit.strip().lower().removesuffix("s"), math.nan)


def _cell(people: Mapping[str, Mapping[str, str]], session: str, column: str) -> str:
    return people.get(session.partition("_ses-")[0], {}).get(column, "n/a")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _numbers(texts: Sequence[str]) -> list[float]:
    values = [_number(text) for text in texts]
    known = [value for value in values if math.isfinite(value)]
    mean = math.fsum(known) / len(known) if known else 0.0
    return [value if math.isfinite(value) else mean for value in values]


def _dummies(texts: Sequence[str]) -> list[list[float]]:
    """Return a column per level with enough sessions, without the most frequent."""
    levels = [level for level, count in Counter(texts).most_common() if count >= MEMBERS]
    return [[float(text == level) for text in texts] for level in levels[1:]]


def scanner_of(series: ReconstructedSeries) -> str:
    """Return the scanner of a reconstruction: model and serial number or station; "" if unknown."""
    facts = series.record.get("Acquisition") or {}
    model = facts.get("ManufacturersModelName") or facts.get("Manufacturer") or ""
    number = facts.get("DeviceSerialNumber") or facts.get("StationName") or ""
    return " ".join(str(part) for part in (model, number) if part)
