"""Atomic writes: a file appears complete or does not appear.

The data go to a temporary file in the target's folder, which is flushed, synced, read back and compared with
the checksum of the written data. Only then is it renamed over the target; the folder is synced last, except a
working folder, whose files move together.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from isal import isal_zlib

from qsmengine.io._stream import CHUNK
from qsmengine.io.owned import is_owned

Buffer = bytes | bytearray | memoryview
WRITERS = 8
"""Number of files that `write_together` writes concurrently."""


def write_atomic(
    path: str | Path,
    chunks: Iterable[Buffer],
    *,
    check: Callable[[Path], None] | None = None,
    durable: bool = True,
) -> None:
    """Write `chunks` to `path` so that a reader sees either the old file or the complete new one.

    Parameters
    ----------
    path
        Target; its folder is created if missing.
    chunks
        Bytes, in order.
    check
        Called with the finished temporary file before it is renamed; an exception aborts the write.
    durable
        Whether to wait until the disk has the file. Files that are easily made again need not wait.

    Raises
    ------
    OSError
        From the file system, with a file name, or if the bytes read back differ. The temporary file is then
        deleted and an existing file at `path` is left untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        length, checksum = _write(temporary, chunks, durable=durable)
        _verify(temporary, length, checksum)
        if check is not None:
            check(temporary)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # an error in an open file, such as a full disk, names none
        raise
    if durable and not is_owned(path):  # whoever moves it from there calls sync_folders
        sync_folders({path.parent})


def write_together(jobs: Iterable[Callable[[], None]], meanwhile: Callable[[], object] | None = None) -> None:
    """Run jobs that each write a file concurrently: one waits for the disk while another compresses.

    `meanwhile` is called in this thread once all jobs are under way. The first error, of it or of a job, or an
    interrupt (Ctrl-C), is raised once no job is running: the caller may then remove their folder.
    """
    running = _Running()
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            started = [pool.submit(running.run, job) for job in jobs]
            if meanwhile is not None:
                meanwhile()
            for done in started:
                done.result()
    except BaseException:
        # Interrupted while it starts a thread, the pool does not know that thread and does not wait for it.
        running.stop()
        raise


class _Running:
    """Jobs in progress on several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._stopped = False

    def run(self, job: Callable[[], None]) -> None:
        """Run a job, unless `stop` has been called."""
        with self._changed:
            if self._stopped:
                return
            self._count += 1
        try:
            job()
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Let no further job start, and wait for those in progress."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: self._count == 0)


def write_text(path: str | Path, text: str, *, durable: bool = True) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomic(path, [text.encode("utf-8")], durable=durable)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON with a final newline, atomically; NaN and infinity raise ValueError."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _write(temporary: Path, chunks: Iterable[Buffer], *, durable: bool) -> tuple[int, int]:
    length, checksum = 0, 0
    with temporary.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            length += len(chunk)
            checksum = isal_zlib.crc32(chunk, checksum)
        stream.flush()
        if durable:
            os.fsync(stream.fileno())
    return length, checksum


def _verify(temporary: Path, length: int, checksum: int) -> None:
    found_length, found = 0, 0
    with temporary.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            found_length += len(chunk)
            found = isal_zlib.crc32(chunk, found)
    if (found_length, found) != (length, checksum):
        raise OSError(f"{temporary}: {found_length} bytes read back differ from the {length} written")


def sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in some folders are on the disk."""
    if os.name != "posix":
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
