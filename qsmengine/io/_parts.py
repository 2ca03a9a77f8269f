"""Reading of a part of a magnitude series, slab by slab: what lies outside of it takes no memory.

Pages that a process has not used before are cleared by the system, which takes longer than decompressing them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from qsmengine.data import Array
from qsmengine.io._series import SeriesFile
from qsmengine.io._stream import open_bytes
from qsmengine.io._volumes import places_of
from qsmengine.io.header import ImageHeader
from qsmengine.io.in_parallel import in_parallel
from qsmengine.io.nifti import check_real, scale_stored
from qsmengine.memory_order import PLANES, copy


def read_part(files: Sequence[SeriesFile], order: Sequence[int], part: tuple[slice, ...]) -> Array | None:
    """Read the volumes of a series in a part of their grid.

    Parameters
    ----------
    files, order
        As for :func:`qsmengine.io._volumes.read_volumes`.
    part
        Part of the grid along x, y and z.

    Returns
    -------
    signal
        (x, y, z, volume) float32 of the part, z fastest, or None if a value anywhere in the images is negative
        or not finite, or a volume has no signal: those who read the whole images decide about these.
    """
    places = places_of(files, order)
    signal = np.empty((len(order), *(side.stop - side.start for side in part)), np.float32)

    def read(which: int) -> bool:
        return _read_file(files[which], [signal[place] for place in places[which]], part)

    return signal.transpose(1, 2, 3, 0) if all(in_parallel(read, range(len(files)))) else None


def _read_file(file: SeriesFile, volumes: Sequence[Array], part: tuple[slice, ...]) -> bool:
    """Read the part of a file's volumes (x, y, z); return whether all values are usual (see `read_part`)."""
    header, (x, y, z) = file.header, part
    check_real(header)
    bright = [False] * len(volumes)
    for volume, start, slab in _slabs(header):
        stored = np.array([slab.min(), slab.max()])
        ends = scale_stored(stored, header.slope, header.intercept)
        if not (np.isfinite(ends).all() and ends.min() >= 0):
            return False
        bright[volume] |= bool(ends.any())
        first, last = max(start, z.start), min(start + slab.shape[2], z.stop)
        if first < last:
            inside = slab[x, y, first - start : last - start]
            if header.is_scaled:
                inside = scale_stored(inside, header.slope, header.intercept)
            copy(volumes[volume][:, :, first - z.start : last - z.start], inside)
    return all(bright)


def _slabs(header: ImageHeader) -> Iterator[tuple[int, int, Array]]:
    """Yield stored voxels: volume, first plane, and planes (x, y, z), which are valid until the next ones."""
    nx, ny, nz = header.shape[:3]
    buffer = np.empty(nx * ny * min(PLANES, nz), header.dtype)
    with open_bytes(header.data_path) as source:
        source.check_claim(header.offset + header.n_bytes)
        source.skip_to(header.offset)
        for volume in range(math.prod(header.shape[3:])):
            for start in range(0, nz, PLANES):
                planes = min(PLANES, nz - start)
                voxels = buffer[: nx * ny * planes]
                source.read_exactly(voxels.view(np.uint8).data)
                native = voxels.astype(header.dtype.newbyteorder("="), copy=False)
                yield volume, start, native.reshape((nx, ny, planes), order="F")
        source.finish()
