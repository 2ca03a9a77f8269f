"""Temporary files and folders named after their process: those that killed processes left can be removed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from qsmengine.io.processes import Process, is_gone, this_process

_NAME = re.compile(
    r"\.qsmengine-[a-z]+\.(?P<space>[0-9a-f]{16})-(?P<pid>\d+)-(?P<started>\d*)-[0-9a-f]{16}\.tmp"
)


def make_owned(where: Path, purpose: str, mode: int = 0o777, *, owner: Process | None = None) -> Path:
    """Create the folder ``where/.qsmengine-PURPOSE.OWNER-RANDOM.tmp``.

    Parameters
    ----------
    where
        Parent folder.
    purpose
        Lower-case word used in the name.
    mode
        Permissions, reduced by the umask.
    owner
        Process that uses the folder; default: this one.

    Raises
    ------
    OSError
        From the file system.
    """
    folder = where / owned_name(purpose, owner=owner)
    folder.mkdir(mode)
    return folder


def owned_name(purpose: str, *, owner: Process | None = None) -> str:
    """Return a new name ``.qsmengine-PURPOSE.OWNER-RANDOM.tmp`` for a temporary file or folder."""
    owner = owner or this_process()
    return f".qsmengine-{purpose}.{_space(owner)}-{owner.pid}-{owner.started}-{secrets.token_hex(8)}.tmp"


def is_owned(path: Path) -> bool:
    """Return whether a path lies in a folder of :func:`make_owned`, from which its files will move."""
    return any(_NAME.fullmatch(part) for part in path.parts)


def is_left_behind(name: str) -> bool:
    """Return whether `name` is one of :func:`owned_name` whose process ran on this machine and has ended."""
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    here = this_process()
    owner = replace(here, pid=int(match["pid"]), started=match["started"])
    return match["space"] == _space(here) and is_gone(owner)


def abandoned(where: Path) -> list[Path]:
    """Return the folders of :func:`make_owned` in `where` whose process has ended.

    Folders of other users, and folders whose owner cannot be checked from this machine, are skipped.
    """
    with suppress(OSError), os.scandir(where) as entries:
        return sorted(Path(entry.path) for entry in entries if _is_abandoned(entry))
    return []


@contextmanager
def private_folder(purpose: str, where: Path | None = None) -> Iterator[Path]:
    """Yield a private folder with an unpredictable name; remove it at the end.

    Folders of the same purpose left behind by killed processes are removed first.

    Parameters
    ----------
    purpose
        Lower-case word used in the name.
    where
        Parent folder; None: the system's temporary folder.

    Raises
    ------
    OSError
        From the file system.
    """
    where = Path(tempfile.gettempdir()) if where is None else where
    for left in abandoned(where):
        if left.name.startswith(f".qsmengine-{purpose}."):
            shutil.rmtree(left, ignore_errors=True)
    folder = make_owned(where, purpose, 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    if _NAME.fullmatch(entry.name) is None or not entry.is_dir(follow_symlinks=False):
        return False
    if hasattr(os, "getuid") and entry.stat(follow_symlinks=False).st_uid != os.getuid():
        return False
    return is_left_behind(entry.name)


def _space(process: Process) -> str:
    """Return a digest of the machine and the PID namespace of a process."""
    return hashlib.sha256(f"{process.host} {process.space}".encode()).hexdigest()[:16]
