"""Rows of a region table as regions of a report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmengine.cohort.dicom_export.inputs import quantity_of_column
from qsmengine.errors import InputError
from qsmengine.io.dicom_objects.anatomy import SIDES
from qsmengine.io.dicom_objects.codes import VOLUME, Coded, ucum
from qsmengine.io.dicom_objects.measurements import STATISTICS, Number, Region
from qsmengine.io.sidecars import read_json
from qsmengine.stats.regions.files import split_column
from qsmengine.stats.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

_KEYS = ("region", "hemisphere")
_VOLUME = "volume_mm3"


def read_regions(path: Path, notes: list[str]) -> list[Region]:
    """Return the regions of a table of ``qsmengine regions``, with the values that have a code.

    Missing values are omitted; columns of maps without a code are left out with a note.

    Raises
    ------
    InputError
        If the file is no region table, its dictionary is missing, no column has a code, a region has two rows,
        a hemisphere is unknown, a value is infinite, or a volume negative.
    """
    table = read_table(path)
    if missing := [key for key in _KEYS if key not in table.columns]:
        raise InputError(f"not a region table: no column {missing[0]}", source=path, field=missing[0])
    columns = _columns(path, [str(column) for column in table.columns], notes)
    _check_regions_differ(path, table)
    known = (*SIDES, "midline")
    if len(other := table[~table["hemisphere"].isin(known)]):
        region, side = (other.fillna("n/a").iloc[0][key] for key in _KEYS)
        raise InputError(
            f"{side!r} of {region} is not one of {', '.join(known)}", source=path, field="hemisphere"
        )
    regions = []
    for row in table.to_dict("records"):
        numbers = tuple(
            Number(quantity, value, unit, derivation)
            for column, (quantity, unit, derivation) in columns.items()
            if math.isfinite(value := _number(path, column, row[column]))
        )
        if numbers:
            regions.append(Region(str(row["region"]), str(row["hemisphere"]), numbers))
    if not regions:
        raise InputError("contains no value", source=path)
    return regions


def _check_regions_differ(path: Path, table: pd.DataFrame) -> None:
    """Raise InputError for a region that a table has twice."""
    twice = table[table.duplicated(list(_KEYS))]
    if len(twice):
        region, side = (twice.iloc[0][key] for key in _KEYS)
        raise InputError(f"{region} ({side}) has more than one row", source=path, field="region")


def _columns(path: Path, names: list[str], notes: list[str]) -> dict[str, tuple[Coded, Coded, Coded | None]]:
    """Return quantity, unit and derivation of the columns that have a code."""
    described = path.with_suffix(".json")
    if not described.is_file():
        raise InputError(f"no data dictionary {described.name} next to the table: it states units", source=path)
    dictionary = read_json(described)
    found: dict[str, tuple[Coded, Coded, Coded | None]] = {}
    unknown: list[str] = []
    for column in names:
        if column == _VOLUME:
            found[column] = (VOLUME, ucum("mm^3"), None)
            continue
        try:
            name, statistic = split_column(column)
        except InputError:
            continue
        quantity = quantity_of_column(name)
        if quantity is None:
            unknown += [] if name in unknown else [name]
        elif statistic in STATISTICS:
            unit = dictionary.get(column, {}).get("Units")
            if not isinstance(unit, str):
                raise InputError(f"no Units of {column}", source=path.with_suffix(".json"), field=column)
            found[column] = (quantity, ucum(unit), STATISTICS[statistic])
    if unknown:
        notes.append(f"{path}: {', '.join(unknown)} left out: no standard DICOM code")
    if not found:
        raise InputError("no column has a standard DICOM code", source=path)
    return found


def _number(path: Path, column: str, text: Any) -> float:
    """Return the number in a cell, NaN for a missing one."""
    if not isinstance(text, str):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number", source=path, field=column) from None
    if math.isinf(value) or (column == _VOLUME and value < 0):
        raise InputError(f"{text!r} is not possible", source=path, field=column)
    return value
