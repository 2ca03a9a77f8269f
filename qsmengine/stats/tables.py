"""Tables on disk as BIDS wants them: tab-separated, "n/a" for what is missing, a data dictionary beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text

Dictionary: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Column -> {"Description": ..., "Units": ..., "Levels": {value: meaning}}."""


def write_table(table: pd.DataFrame, path: str | Path, dictionary: Dictionary) -> None:
    """Write `table` as ``path`` (.tsv) and its data dictionary as the .json beside it, each atomically.

    Numbers are written with ten significant digits.

    Raises
    ------
    InputError
        For a path that does not end in .tsv, and when a column of the table has no description.
    """
    path = Path(path)
    if path.suffix != ".tsv":
        raise InputError("a table's name ends in .tsv", source=path)
    undescribed = [str(column) for column in table.columns if column not in dictionary]
    if undescribed:
        raise InputError(f"no description of {', '.join(undescribed)}", source=path)
    text = table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.10g", lineterminator="\n")
    write_text(path, text)
    write_json(path.with_suffix(".json"), {str(c): dict(dictionary[str(c)]) for c in table.columns})


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a tab-separated table: every value a string without blanks around it, "n/a" and empty cells missing.

    Raises
    ------
    InputError
        When the file is missing, is no table, or has a column name twice.
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, na_values=[])
    except FileNotFoundError:
        raise InputError("no such file", source=path) from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"not a tab-separated table ({error})", source=path) from None
    header = [name.strip() for name in Path(path).read_text(encoding="utf-8-sig").splitlines()[0].split("\t")]
    doubles = sorted({column for column in header if header.count(column) > 1})
    if doubles:
        raise InputError(f"column {doubles[0]!r} appears twice", source=path)
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    stripped = table.apply(lambda column: column.str.strip())
    known: pd.DataFrame = stripped.mask(stripped.isin(["n/a", ""]))
    return known
