"""TSV tables as rows of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from qsmengine.errors import InputError
from qsmengine.io.cells import unguard

Row: TypeAlias = dict[str, str]


def read_rows(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    """Read a table with a header; each row maps column names to text, "n/a" for cells that it lacks.

    Raises
    ------
    InputError
        When the file cannot be read, a row has more cells than the header, or one of `columns` is absent.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t") if row]
    except FileNotFoundError:
        raise InputError("no such file", source=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a tab-separated table ({error})", source=path) from None
    if "'" in text:
        table = [[unguard(cell) for cell in row] for row in table]
    header = table[0] if table else []
    absent = [name for name in columns if name not in header]
    if absent:
        raise InputError("no such column", source=path, field=absent[0])
    long = next((number for number, row in enumerate(table, start=1) if len(row) > len(header)), None)
    if long is not None:
        raise InputError(f"row {long} has more cells than the header", source=path)
    rows = [[*row, *["n/a"] * (len(header) - len(row))] for row in table[1:]]
    return [dict(zip(header, row, strict=True)) for row in rows]
