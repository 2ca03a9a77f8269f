"""Padding of images and masks for non-local means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device
from qsmengine.backend.signatures.nlm import ROW_SLACK
from qsmengine.data import Array


@dataclass(frozen=True)
class Padding:
    """Padded planes `span` along x of a volume, with `margin` voxels on each side.

    Parameters
    ----------
    span
        First plane and the one after the last.
    margin
        Voxels along x, y, z.
    patch
        Depth to which images are mirrored at their faces (the outermost voxel is not repeated); 0 beyond.
    rows
        Rows of zeros after the margin of each plane.
    columns
        Further columns of zeros after the margin of each row, which has ROW_SLACK of them.
    """

    span: tuple[int, int]
    margin: tuple[int, int, int]
    patch: tuple[int, int, int]
    device: Device
    rows: int = 0
    columns: int = 0

    def images(self, array: Array, pack: int = 0) -> Array:
        """Return (component, x, y, z) mirrored at the faces; nonzero `pack` interleaves components of a voxel.

        Packed arrays are (component / pack, x, y, z, pack), with zeros at the end of the last pack.
        """
        together = max(pack, 1)
        count, shape = -(-len(array) // together), array.shape[1:]
        padded = self.device.zeros((count, *self._shape(shape), together))
        for c, source in enumerate(array):  # components are copied to a GPU one at a time
            self._fill(padded[c // together, ..., c % together], source, np.float32)
        low = self.margin[0] - self.span[0]
        for axis, start in enumerate((low, *self.margin[1:])):
            along = self.device.xp.moveaxis(padded, axis + 1, 0)  # a view
            for target, origin in _mirror(start, shape[axis], self.patch[axis], len(along)):
                along[target] = along[origin]
        return padded if pack else padded[..., 0]

    def candidates(self, mask: Array, *, no: float = 0.0, yes: float = 1.0) -> Array:
        """Return (x, y, z) float32: `yes` in the mask, `no` elsewhere."""
        padded = self.device.zeros(self._shape(mask.shape))
        self._fill(padded, mask, np.float32)
        found: Array = self.device.xp.where(padded > 0, np.float32(yes), np.float32(no))
        return found

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        x, y, z = self.margin
        planes = self.span[1] - self.span[0]
        return planes + 2 * x, shape[1] + 2 * y + self.rows, shape[2] + 2 * z + ROW_SLACK + self.columns

    def _fill(self, padded: Array, source: Array, dtype: npt.DTypeLike) -> None:
        x, y, z = self.margin
        low, high = self.span[0] - x, self.span[1] + x
        first, last = max(low, 0), min(high, source.shape[0])
        inner = (slice(first - low, last - low), slice(y, y + source.shape[1]), slice(z, z + source.shape[2]))
        padded[inner] = self.device.asarray(source[first:last], dtype)


def _mirror(start: int, size: int, depth: int, length: int) -> Iterator[tuple[int, int]]:
    """Return positions to fill on both sides of an axis of `size` voxels from `start`, and their sources."""
    period = max(2 * size - 2, 1)
    for k in range(1, depth + 1):
        for index in (-k, size - 1 + k):
            folded = index % period
            source = start + (folded if folded < size else period - folded)
            if 0 <= start + index < length and 0 <= source < length:
                yield start + index, source
