"""Array arithmetic in pieces that fit into the cache, on all threads of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from qsmengine.backend.device import Device
from qsmengine.data import Array

PIECE = 1 << 16
"""Elements of a piece: a few arrays of this size fit into the cache of a core."""


def in_pieces(work: Callable[..., object], arrays: Sequence[Array], device: Device) -> None:
    """Call `work` with matching parts of `arrays` until it has seen all of them; it writes into some in place.

    An expression of several operations then reads and writes the memory once instead of once per operation.
    On a GPU `work` is called once, with the whole arrays. It must treat each element alone, so that the
    result does not depend on the number of threads.

    Parameters
    ----------
    work
        Takes as many arrays as are given.
    arrays
        C-contiguous, of one shape.
    device
        Device of the arrays.

    Raises
    ------
    ValueError
        For arrays of other shapes or with gaps.
    """
    size = arrays[0].size
    if any(array.shape != arrays[0].shape or not array.flags.c_contiguous for array in arrays):
        raise ValueError("pieces are taken of C-contiguous arrays of one shape")
    if device.kind == "cuda":
        work(*arrays)
        return
    flat = [array.reshape(-1) for array in arrays]

    threads = max(1, min(device.threads, -(-size // PIECE)))

    def every_nth(first: int) -> None:
        for start in range(first * PIECE, size, threads * PIECE):
            work(*(part[start : start + PIECE] for part in flat))

    if threads == 1:
        every_nth(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(every_nth, range(threads)))
