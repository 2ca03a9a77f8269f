"""The ledger: one small JSON file per session, replaced atomically."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.plan.model import SessionRecord
from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json
from qsmengine.io.sidecars import read_json


def write_record(out: Path, record: SessionRecord) -> None:
    """Replace the record of a session; raises OSError from the file system."""
    write_json(Places(out).record(record.session), record.model_dump(mode="json", exclude_defaults=True))


def read_record(out: Path, key: str) -> tuple[SessionRecord | None, str]:
    """Return the record of a session, and a note if it is damaged: the session then starts again."""
    path = Places(out).record(key)
    if not path.exists():
        return None, ""
    try:
        record = SessionRecord.model_validate(read_json(path))
    except InputError as error:
        return None, f"ledger is damaged, the session starts afresh: {error}"
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return None, f"ledger is damaged, the session starts afresh: {path}: {field}: {first['msg']}"
    if record.session != key:
        return None, f"ledger is damaged, the session starts afresh: {path} is of {record.session}"
    return record, ""


def read_all(out: Path) -> Iterator[tuple[str, SessionRecord | None, str]]:
    """Yield every session of the ledger by name: key, record (None if damaged), note."""
    for key in recorded_sessions(out):
        yield key, *read_record(out, key)


def recorded_sessions(out: Path) -> list[str]:
    """Return the sessions of the ledger by name, without reading their records."""
    files = sorted(Places(out).sessions.glob("*.json"))
    return [path.stem for path in files if not path.name.startswith(".")]
