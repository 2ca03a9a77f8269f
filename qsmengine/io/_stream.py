"""Byte stream of an image file, plain or gzip; errors name the file and the byte position."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib

from qsmengine.errors import InputError

CHUNK = 1 << 20
MAX_RATIO = 1000
"""Largest accepted decompression ratio for claimed sizes above `RATIO_EXEMPT` bytes."""
RATIO_EXEMPT = 1 << 28
"""Claimed size below which the ratio is not checked: a nearly empty mask may compress 1000-fold."""

MAP_FROM = 1 << 24
"""Number of bytes from which a plain file is mapped: its pages in the system's cache are used, not copied."""

_ISAL_ERROR = cast("type[Exception]", isal_zlib.IsalError)
_GZIP_MAGIC = b"\x1f\x8b"
_ANNEX_MARK = b"/annex/objects/"


class ByteSource:
    """Forward-only reader of a plain or gzip file; gzip is recognised by its first bytes, not its name."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        self.path = path
        self._raw = raw
        self.file_size = os.fstat(raw.fileno()).st_size
        head = raw.read(256)
        if _ANNEX_MARK in head and self.file_size < 1024:
            raise InputError("is a git-annex pointer, not data: run 'datalad get' on it", source=path)
        raw.seek(0)
        self.compressed = head[:2] == _GZIP_MAGIC
        self.position = 0

    @cached_property
    def _stream(self) -> Any:
        return cast("Any", igzip.IGzipFile)(fileobj=self._raw) if self.compressed else self._raw

    def read(self, count: int) -> bytes:
        """Read up to `count` bytes; fewer only at the end of the data."""
        buffer = bytearray(count)
        got = self._fill(memoryview(buffer))
        return bytes(buffer[:got])

    def read_exactly(self, view: memoryview) -> None:
        """Fill `view`; raises InputError with both byte counts if the data end early."""
        start = self.position
        if self._fill(view) < len(view):
            raise InputError(
                f"truncated: the header needs {start + len(view)} bytes, the data end after {self.position}",
                source=self.path,
            )

    def take(self, count: int, *, mapped: bool) -> npt.NDArray[np.uint8]:
        """Return the next `count` bytes as a writable array; writing to it never changes the file.

        With `mapped`, many bytes of a plain file are mapped into memory if they start at a multiple of 16, as
        the data types need. Where the file system cannot do that they are read.

        Raises
        ------
        InputError
            If the data end early, with both byte counts.
        """
        if mapped and self._can_map(count):
            with suppress(OSError):
                pages = mmap.mmap(self._raw.fileno(), self.position + count, access=mmap.ACCESS_COPY)
                array = np.frombuffer(pages, np.uint8, count, self.position)
                self.position += count
                return array
        array = np.empty(count, dtype=np.uint8)
        self.read_exactly(array.data)
        return array

    def _can_map(self, count: int) -> bool:
        whole = self.file_size >= self.position + count
        return whole and count >= MAP_FROM and self.position % 16 == 0 and not self.compressed

    def skip_to(self, offset: int) -> None:
        """Move forward to byte `offset`."""
        while self.position < offset:
            if not self.read(min(CHUNK, offset - self.position)):
                raise InputError(
                    f"truncated: image data start at byte {offset}, the data end after {self.position}",
                    source=self.path,
                    field="vox_offset",
                )

    def finish(self) -> int:
        """Read a gzip stream to its end, which verifies its checksum; return the bytes left over."""
        if not self.compressed:
            return self.file_size - self.position
        start = self.position
        buffer = memoryview(bytearray(CHUNK))
        while self._fill(buffer) == CHUNK:
            pass
        return self.position - start

    def check_claim(self, needed: int) -> None:
        """Raise InputError unless the file really holds `needed` bytes; a gzip may be streamed for it.

        A matching length in the gzip trailer is trusted; otherwise the stream is decompressed once, in
        constant memory, and counted.
        """
        if not self.compressed:
            if self.file_size < needed:
                raise InputError(
                    f"truncated: the header needs {needed} bytes, the file has {self.file_size}",
                    source=self.path,
                )
            return
        if needed > RATIO_EXEMPT and needed > MAX_RATIO * self.file_size:
            raise InputError(
                f"the header claims {needed} bytes, more than {MAX_RATIO} times the {self.file_size} "
                "compressed bytes of the file",
                source=self.path,
                field="dim",
            )
        if self._trailer_length() == needed % (1 << 32):
            return
        with open_bytes(self.path) as counter:
            total = counter.finish()
        if total < needed:
            raise InputError(
                f"truncated: the header needs {needed} bytes, the gzip stream holds {total}", source=self.path
            )

    def _trailer_length(self) -> int:
        here = self._raw.tell()
        self._raw.seek(max(0, self.file_size - 4))
        length = int.from_bytes(self._raw.read(4), "little")
        self._raw.seek(here)
        return length

    def _fill(self, view: memoryview) -> int:
        done = 0
        try:
            while done < len(view):
                got = self._stream.readinto(view[done : done + CHUNK])
                if not got:
                    break
                done += got
                self.position += got
        except EOFError as error:
            raise InputError(
                f"truncated gzip: the file's {self.file_size} bytes end inside the stream, "
                f"after at least {self.position} decompressed bytes",
                source=self.path,
            ) from error
        except (BadGzipFile, _ISAL_ERROR, zlib.error, OSError) as error:
            raise InputError(
                f"damaged: {error} (after {self.position} bytes of data; the file has {self.file_size} bytes)",
                source=self.path,
            ) from error
        return done


@contextmanager
def open_bytes(path: Path) -> Iterator[ByteSource]:
    """Open `path` for reading; raises InputError if it is missing, a folder or unreadable."""
    try:
        raw = path.open("rb")
    except FileNotFoundError as error:
        hint = (
            ": a link to data that have not been fetched; run 'datalad get' on it" if path.is_symlink() else ""
        )
        raise InputError(f"no such file{hint}", source=path) from error
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", source=path) from error
    with raw:
        yield ByteSource(path, raw)
