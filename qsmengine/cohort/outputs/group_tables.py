"""Group table: the regional values of all sessions in an output folder."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.cells import guard
from qsmengine.report.records import RegionTable, find_tables

NAME = Path("group") / "desc-dgm_stats.tsv"
ENDING = "desc-dgm_stats.tsv"
_LABEL = re.compile(r"sub-(?P<subject>[0-9A-Za-z]+)(?:_ses-(?P<session>[0-9A-Za-z]+))?")
IDENTITY = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a if the participant has none"},
    "source": {"Description": "Table of the session, relative to the dataset"},
}


def write_group_table(out: str | Path) -> Path:
    """Write ``OUT/group/desc-dgm_stats.tsv`` and its dictionary by stacking the sessions' tables.

    Columns missing from a session's table are filled with n/a.

    Raises
    ------
    InputError
        If no session has a table.
    """
    out = Path(out)
    tables = [t for t in find_tables(out) if t.path.name.endswith(ENDING) and _LABEL.fullmatch(t.session)]
    if not tables:
        raise InputError(f"no sub-*/**/*_{ENDING} below it", source=out)
    columns = list(dict.fromkeys(c for table in tables for row in table.rows[:1] for c in row))
    target = out / NAME
    write_text(target, _text(out, tables, columns))
    write_json(target.with_suffix(".json"), {**IDENTITY, **_dictionary(tables)})
    return target


def _text(out: Path, tables: Sequence[RegionTable], columns: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow([*IDENTITY, *map(guard, columns)])
    for table in tables:
        match = _LABEL.fullmatch(table.session)
        labels = match.groupdict() if match else {}
        session = labels.get("session")
        identity = [
            f"sub-{labels.get('subject')}",
            f"ses-{session}" if session else "n/a",
            table.path.relative_to(out).as_posix(),
        ]
        for row in table.rows:
            writer.writerow([*identity, *(guard(row.get(column) or "n/a") for column in columns)])
    return buffer.getvalue()


def _dictionary(tables: Sequence[RegionTable]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        with suppress(OSError, ValueError):
            content = json.loads(table.path.with_suffix(".json").read_text(encoding="utf-8"))
            merged |= {name: entry for name, entry in content.items() if name not in merged}
    return merged
