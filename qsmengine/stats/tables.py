"""TSV tables as in BIDS: "n/a" for missing values, a JSON data dictionary with the same name."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.cells import guard, unguard

MOST_COLUMNS = 10_000
Dictionary: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Column -> {"Description": ..., "Units": ..., "Levels": {value: meaning}}."""


def write_table(table: pd.DataFrame, path: str | Path, dictionary: Dictionary) -> None:
    """Write a table as TSV and its data dictionary as JSON with the same name, each atomically.

    Numbers have ten significant digits. Text that a spreadsheet would run as a formula gets an apostrophe in
    front, which :func:`read_table` removes.

    Raises
    ------
    InputError
        For a path that does not end in .tsv, and when a column of the table has no description.
    """
    path = Path(path)
    if path.suffix != ".tsv":
        raise InputError("the name of a table must end in .tsv", source=path)
    undescribed = [str(column) for column in table.columns if column not in dictionary]
    if undescribed:
        raise InputError(f"no description of {', '.join(undescribed)}", source=path)
    cells = table.copy()
    for column in table.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]]:
        cells[column] = [guard(value) if isinstance(value, str) else value for value in table[column]]
    cells.columns = pd.Index([guard(str(column)) for column in table.columns])
    text = cells.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.10g", lineterminator="\n")
    write_text(path, text)
    write_json(path.with_suffix(".json"), {str(c): dict(dictionary[str(c)]) for c in table.columns})


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV table as text without surrounding blanks; "n/a" and empty cells are missing.

    Raises
    ------
    InputError
        When the file is missing or is not a table with tabs, has more than 10,000 columns, a row has more
        cells than the header, a column name occurs twice, or a column with values has no name.
    """
    text = read_text(path)
    header_line = next(iter(text.lstrip("\r\n").splitlines()), "")
    columns = 1 + header_line.count("\t")
    other = next((mark for mark in ",;" if mark in header_line), "")
    if columns == 1 and other:
        raise InputError(
            f"not a tab-separated table: columns are separated by {other!r}; save it with tabs", source=path
        )
    if columns > MOST_COLUMNS:
        raise InputError(
            f"{columns} columns; at most {MOST_COLUMNS} are read: keep those that the analysis needs",
            source=path,
        )
    try:
        cells = pd.read_csv(
            StringIO(text), sep="\t", header=None, dtype=str, keep_default_na=False, na_values=[]
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        found = " ".join(str(error).split())
        raise InputError(
            f"not a tab-separated table ({found}): the first row must name the columns, no row may be longer",
            source=path,
        ) from None
    clean = np.vectorize(lambda cell: unguard(cell.strip()), otypes=[object])
    cells = pd.DataFrame(clean(cells.fillna("").to_numpy(dtype=object)), dtype=cells.dtypes.iloc[0])
    header = cells.iloc[0].tolist()
    doubles = sorted(name for name, count in Counter(header).items() if name and count > 1)
    if doubles:
        raise InputError(f"column {doubles[0]!r} appears twice", source=path)
    table = cells.iloc[1:].reset_index(drop=True).set_axis(header, axis=1)
    known: pd.DataFrame = table.mask(table.isin(["n/a", ""]))
    named = [bool(name) for name in header]
    if known.loc[:, [not name for name in named]].notna().any(axis=None):
        raise InputError(f"column {named.index(False) + 1} has values and no name", source=path)
    return known.loc[:, named]


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file, with or without a byte-order mark; InputError when that fails."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", source=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not a text file ({error.reason})", source=path) from None
    if "\0" in text:
        raise InputError("not a text file (it contains NUL)", source=path)
    return text


def read_rows(path: str | Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every row that is not blank; InputError for unreadable quoting."""
    reader = csv.reader(read_text(path).splitlines(), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: {error}", source=path) from None
