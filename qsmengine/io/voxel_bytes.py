"""Bytes of an image file: header and voxels, slab by slab, and their reproducible compression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from isal import isal_zlib

from qsmengine.data import Array
from qsmengine.io._nifti_header import NiftiHeader
from qsmengine.io.atomic import Buffer
from qsmengine.memory_order import copy

BLOCK = 1 << 20
"""Number of elements converted, or bytes compressed, per block."""
GZIP_LEVEL = 1
START = 16
"""Bytes that ISA-L compresses without its hash table's first entry."""


def image_bytes(
    header: NiftiHeader,
    array: Array,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    part: tuple[slice, ...] | None,
) -> Iterator[Buffer]:
    """Yield an image of `shape` (x, y, z) that holds `array` (x, y, z[, volume]) in `part`, and is 0 elsewhere.

    `part` None: `array` fills the image. Bytes are valid until the next ones are asked for.
    """
    yield header.block + b"\0\0\0\0"
    if part is None and array.dtype == dtype and array.flags.f_contiguous:
        yield array.reshape(-1, order="F").data.cast("B")
        return
    volumes = [array] if array.ndim == 3 else [array[..., v] for v in range(array.shape[3])]
    depth = max(16, BLOCK // max(1, shape[0] * shape[1]))
    slab = np.zeros((*shape[:2], depth), dtype, order="F")
    covered = part or tuple(slice(0, n) for n in shape)
    with np.errstate(over="ignore"):
        for volume in volumes:
            for start in range(0, shape[2], depth):
                planes = slab[:, :, : shape[2] - start]
                _fill(planes, volume, start, covered)
                yield planes.reshape(-1, order="F").data.cast("B")


def _fill(slab: Array, volume: Array, start: int, part: tuple[slice, ...]) -> None:
    """Copy the planes from `start` on of a volume in `part` to a slab, which is 0 outside x and y of `part`."""
    x, y, z = part
    first = min(max(start, z.start), start + slab.shape[2])
    last = max(min(start + slab.shape[2], z.stop), first)
    inside = slab[x, y]
    inside[:, :, : first - start] = inside[:, :, last - start :] = 0
    copy(inside[:, :, first - start : last - start], volume[:, :, first - z.start : last - z.start])


def compressed(chunks: Iterator[Buffer]) -> Iterator[Buffer]:
    """Compress in blocks of `BLOCK` bytes, independent of the chunks, so that equal voxels give equal bytes.

    ISA-L hashes the third byte of a stream that begins with more than `START` bytes by the address of its
    state, so that later matches, and one or two files in a hundred, differ from run to run. The first bytes
    are flushed first for that reason.
    """
    engine = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, 31)
    blocks = _blocks(chunks)
    first = memoryview(next(blocks))
    yield engine.compress(first[:START])
    yield engine.flush(isal_zlib.Z_SYNC_FLUSH)
    yield engine.compress(first[START:])
    for block in blocks:
        yield engine.compress(block)
    yield engine.flush()


def _blocks(chunks: Iterator[Buffer]) -> Iterator[Buffer]:
    """Yield the bytes of the chunks in blocks of `BLOCK` bytes, and the rest."""
    held = bytearray()
    for chunk in chunks:
        start = 0
        if held:
            start = min(BLOCK - len(held), len(chunk))
            held += chunk[:start]
            if len(held) == BLOCK:
                yield held
                held = bytearray()
        while len(chunk) - start >= BLOCK:
            yield chunk[start : start + BLOCK]
            start += BLOCK
        held += chunk[start:]
    yield held
