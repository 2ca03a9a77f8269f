"""Removal of the leftovers of killed processes: temporary files of the ledger and unfinished outputs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from qsmengine.cohort.ledger.leases import acquire, sweep
from qsmengine.cohort.ledger.places import Places
from qsmengine.pipeline.outputs.staging import clear_scratch

_TEMPORARY = re.compile(r"\.(.+)\.json\.[0-9a-f]+\.tmp")


def remove_leftovers(out: Path, *, run: str, expiry: float) -> None:
    """Remove leftovers, those of outputs and records under a claim on their session.

    Other runs are not disturbed.
    """
    places = Places(out)
    for folder in places.claims.glob("*"):
        sweep(folder, expiry)
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
                with suppress(OSError):
                    clear_scratch(path, out) if path.is_dir() else path.unlink()
