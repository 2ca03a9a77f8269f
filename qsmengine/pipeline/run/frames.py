"""Arrays of a run on two grids: the image's, and the box of the brain mask for methods that need no more.

A brain fills half of an image or less. Methods that declare `within_mask` compute in the box, and their results
are brought to the image's grid only when a later step needs them there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.io.in_parallel import in_parallel
from qsmengine.memory_order import copy
from qsmengine.ops.domain import bounding_box
from qsmengine.stages.echoes import echo_last

MARGIN = 2
"""Voxels around the mask, so that methods see its surroundings."""
WORTHWHILE = 0.8
"""Largest share of the image that the box may fill."""
MASK = "brain_mask"


class Compact(NamedTuple):
    """Array on a part of the image's grid, outside of which it is 0."""

    array: Array
    part: tuple[slice, ...]


def mask_box(mask: Array) -> tuple[slice, ...]:
    """Return the box of a mask (x, y, z) with its margin; raises InputError for an empty mask."""
    ends = zip(*bounding_box(mask), mask.shape, strict=True)
    return tuple(slice(max(start - MARGIN, 0), min(stop + MARGIN, n)) for start, stop, n in ends)


def is_worthwhile(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Return whether a box is so much smaller than an image of `shape` (x, y, z) that it is used."""
    voxels = math.prod(len(range(part.start, part.stop)) for part in box)
    return voxels <= WORTHWHILE * math.prod(shape)


def whole_image(array: Array) -> Compact:
    """Return an array that fills the image's grid."""
    return Compact(array, tuple(slice(0, n) for n in array.shape[:3]))


class Frames:
    """The arrays of a run.

    Parameters
    ----------
    arrays
        Name -> array on the image's grid, table, or array that is known in the box of the mask only.
    grid
        Geometry of the image.
    device
        Device of the arrays.
    """

    def __init__(self, arrays: Mapping[str, Any], grid: Grid, device: Device) -> None:
        self._whole = {name: a for name, a in arrays.items() if not isinstance(a, Compact)}
        self._part = {name: a.array for name, a in arrays.items() if isinstance(a, Compact)}
        self._grid, self._device = grid, device
        self._box: tuple[slice, ...] | None = None
        if any(isinstance(a, Compact) and a.part != self.mask_part for a in arrays.values()):
            raise ValueError("an array covers another part of the grid than the box of the mask")

    def __contains__(self, name: object) -> bool:
        return name in self._whole or name in self._part

    def __iter__(self) -> Iterator[str]:
        return iter({**self._whole, **self._part})

    def frame(self, *, within_mask: bool) -> Frame:
        """Return the arrays as a method sees them: in the box of the mask if that is enough and worthwhile."""
        if within_mask and MASK in self:
            box = self.mask_part
            if is_worthwhile(box, self._grid.shape):
                return Frame(self, part=True, grid=self._grid.part(box))
        return Frame(self, part=False, grid=self._grid)

    def get(self, name: str, *, part: bool) -> Any:
        """Return an array on one of the grids, converted if it is on the other; tables are unchanged."""
        mine, other = (self._part, self._whole) if part else (self._whole, self._part)
        if name not in mine:
            found = other[name]
            if getattr(found, "ndim", 0) < 3:
                return found
            with self._device.current():
                mine[name] = self._cropped(found) if part else self._pasted(found)
        return mine[name]

    def settle(self, name: str) -> Any:
        """Return an array on the image's grid, where it stays: its memory in the box is free again.

        On the CPU it lies in memory as in image files (x fastest) if it comes from the box.
        """
        if name in self._part and name not in self._whole and self._part[name].ndim >= 3:
            with self._device.current():
                self._whole[name] = self._pasted(self._part[name], as_in_files=self._device.kind == "cpu")
        whole = self.get(name, part=False)
        self._part.pop(name, None)
        return whole

    def compact(self, name: str) -> Compact:
        """Return an array where it may differ from 0, without bringing it to the image's grid."""
        only = name in self._part and (name not in self._whole or name == MASK)
        if only and self._part[name].ndim >= 3:
            return Compact(self._part[name], self.mask_part)
        return whole_image(self.get(name, part=False))

    def put(self, name: str, value: Any, *, part: bool) -> None:
        """Store an array; it replaces any array of the same name on either grid."""
        if name == MASK:
            for other in list(self._part):
                self.get(other, part=False)
            self._part, self._box = {}, None
        (self._part if part else self._whole)[name] = value
        (self._whole if part else self._part).pop(name, None)

    def narrow(self, names: Collection[str]) -> None:
        """Keep these arrays in the box of the mask alone, if it is used; what they held elsewhere is lost."""
        if MASK in self and is_worthwhile(self.mask_part, self._grid.shape):
            for name in self._whole.keys() & names:
                self.get(name, part=True)
                del self._whole[name]

    def forget(self, names: Collection[str]) -> None:
        """Forget the arrays with these names."""
        for name in names:
            self._whole.pop(name, None)
            self._part.pop(name, None)

    @property
    def mask_part(self) -> tuple[slice, ...]:
        """Box of the mask."""
        if self._box is None:
            self._box = mask_box(self.get(MASK, part=False))
        return self._box

    def _cropped(self, array: Array) -> Array:
        part = array[self.mask_part]
        if part.ndim == 4:  # echoes stay contiguous
            if self._device.kind == "cpu" and self._device.threads > 1:
                echoes = self._device.empty((part.shape[3], *part.shape[:3]), array.dtype)
                in_parallel(lambda e: copy(echoes[e], part[..., e]), range(len(echoes)))
                return echo_last(echoes)
            return echo_last(self._device.asarray(part.transpose(3, 0, 1, 2), array.dtype))
        return self._device.asarray(part, array.dtype)

    def _pasted(self, array: Array, *, as_in_files: bool = False) -> Array:
        images = array.transpose(3, 0, 1, 2) if array.ndim == 4 else array
        volumes, shape = images.shape[:-3], self._grid.shape
        if as_in_files:
            whole = self._device.zeros((*volumes, *shape[::-1]), array.dtype).swapaxes(-1, -3)
        else:
            whole = self._device.zeros((*volumes, *shape), array.dtype)
        place: Array = whole[(*(slice(None) for _ in volumes), *self.mask_part)]
        if self._device.kind == "cpu":
            copy(place, images)
        else:
            place[...] = images
        return echo_last(whole) if array.ndim == 4 else whole


class Frame(Mapping[str, Any]):
    """The arrays of a run on one of the two grids.

    Parameters
    ----------
    frames
        Arrays on both grids.
    part
        Whether this is the box of the mask.
    grid
        Geometry.
    """

    def __init__(self, frames: Frames, *, part: bool, grid: Grid) -> None:
        self._frames, self._part, self.grid = frames, part, grid

    @property
    def covered(self) -> tuple[slice, ...]:
        """Part of the image's grid that the arrays cover."""
        return self._frames.mask_part if self._part else tuple(slice(0, n) for n in self.grid.shape)

    def __getitem__(self, name: str) -> Any:
        if name not in self._frames:
            raise KeyError(name)
        return self._frames.get(name, part=self._part)

    def __setitem__(self, name: str, value: Any) -> None:
        self._frames.put(name, value, part=self._part)

    def __contains__(self, name: object) -> bool:
        return name in self._frames

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return sum(1 for _ in self._frames)


class Maps(Mapping[str, Array]):
    """Some arrays of a finished run on the image's grid, brought there on access.

    Parameters
    ----------
    frames
        All arrays.
    names
        Those to show.
    """

    def __init__(self, frames: Frames, names: tuple[str, ...]) -> None:
        self._frames, self._names = frames, names

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        array: Array = self._frames.settle(name)
        return array

    def compact(self, name: str) -> Compact:
        """Return a map where it may differ from 0, without bringing it to the image's grid."""
        return self._frames.compact(name)

    def within_mask(self) -> Frame:
        """Return the arrays in the box of the brain mask, or on the image's grid where that is used."""
        return self._frames.frame(within_mask=True)

    def including(self, name: str) -> Maps:
        """Return these maps and one of the run's inputs."""
        return Maps(self._frames, (*self._names, name))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
