"""Face-connected components of a mask, on CPU and GPU.

Components are found by union-find on runs of voxels (see ``kernels/components.cu``). They are ordered by their
first voxel in memory, so the results do not depend on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.components import (
    COMPONENTS_BORDER,
    COMPONENTS_JOIN,
    COMPONENTS_PICK,
    COMPONENTS_RUNS,
    COMPONENTS_SIZES,
)
from qsmengine.data import Array
from qsmengine.errors import InputError


def largest_component(mask: Array, device: Device) -> Array:
    """Return the largest component of `mask` (x, y, z) bool, the first in a tie; empty for an empty mask."""
    parts = _Parts.of(mask, device)
    chosen = device.zeros(parts.shape, np.uint8)
    chosen.reshape(-1)[parts.sizes(device).argmax()] = 1
    return parts.pick(chosen, device)


def largest_components(mask: Array, count: int, share: float, device: Device) -> Array:
    """Return up to `count` components of `mask` (x, y, z) bool, none smaller than `share` of the largest.

    In a tie the last one has precedence. The result is empty for an empty mask.
    """
    parts = _Parts.of(mask, device)
    sizes = parts.sizes(device).astype(np.int64)
    order = sizes * sizes.size + device.xp.arange(sizes.size)
    last = max(0, sizes.size - count)
    limit = device.xp.partition(order, last)[last]
    chosen = (order >= limit) & (sizes >= share * sizes.max())
    return parts.pick(chosen.reshape(parts.shape).view(np.uint8), device)


def connected_to_border(mask: Array, device: Device) -> Array:
    """Return the components of `mask` (x, y, z) bool that touch the border of the image."""
    parts = _Parts.of(mask, device)
    chosen = device.zeros(parts.shape, np.uint8)
    launch(COMPONENTS_BORDER, device, **parts.arrays, chosen=chosen)
    return parts.pick(chosen, device)


def filled(mask: Array, device: Device) -> Array:
    """Return `mask` (x, y, z) bool with its enclosed holes filled."""
    result: Array = ~connected_to_border(~mask, device)
    return result


class _Parts(NamedTuple):
    """Union-find trees of a mask's runs."""

    mask: Array
    back: Array
    parent: Array

    @classmethod
    def of(cls, mask: Array, device: Device) -> _Parts:
        if mask.size >= 1 << 31:
            raise InputError(f"{mask.size} voxels are too many for connected components", field="shape")
        inside = device.asarray(mask, bool).view(np.uint8)
        shape = tuple(inside.shape)
        parts = cls(inside, device.empty(shape, np.uint8), device.empty(shape, np.int32))
        launch(COMPONENTS_RUNS, device, **parts.arrays)
        launch(COMPONENTS_JOIN, device, **parts.arrays)
        return parts

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.mask.shape)

    @property
    def arrays(self) -> dict[str, Array]:
        return self._asdict()

    def sizes(self, device: Device) -> Array:
        """Return the size [voxels] of each component at its first voxel, (n,); 0 elsewhere."""
        sizes = device.zeros(self.shape, np.int32)
        launch(COMPONENTS_SIZES, device, **self.arrays, size=sizes)
        return sizes.reshape(-1)

    def pick(self, chosen: Array, device: Device) -> Array:
        """Return a mask of the components whose first voxel is set in `chosen`."""
        kept = device.empty(self.shape, np.uint8)
        flat = {name: array.reshape(-1) for name, array in self.arrays.items()}
        launch(COMPONENTS_PICK, device, **flat, chosen=chosen.reshape(-1), kept=kept.reshape(-1))
        return kept.view(bool)
