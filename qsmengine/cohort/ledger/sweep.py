"""Removing what killed processes left: temporary files of the ledger, unfinished outputs."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from qsmengine.cohort.ledger.leases import acquire
from qsmengine.cohort.ledger.places import Places

_TEMPORARY = re.compile(r"\.(.+)\.json\.[0-9a-f]+\.tmp")


def sweep(out: Path, *, run: str, expiry: float) -> None:
    """Remove what nobody works on any more, under a claim on the session: no other run is hurt."""
    places = Places(out)
    left: dict[str, list[Path]] = {}
    for path in places.sessions.glob(".*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match is not None:
            left.setdefault(match[1], []).append(path)
    for folder in places.work("x").parent.glob("*"):
        left.setdefault(folder.name, []).append(folder)
    for key, paths in left.items():
        claim = acquire(out, key, run=run, expiry=expiry)
        if claim is None:
            continue
        with claim:
            for path in paths:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
