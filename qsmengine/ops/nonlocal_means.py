"""Joint non-local means over several components, in slabs: padding, scaling and the call of the kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, array_module, device_of, to_numpy
from qsmengine.backend.group import share_out, workers
from qsmengine.backend.launch import launch
from qsmengine.backend.memory import available_memory
from qsmengine.backend.signatures.nlm import (
    LMMSE_COMPONENTS,
    NLM,
    NLM_LMMSE,
    NLM_PAIRS,
    ROW_SLACK,
    TILE_DEPTH,
)
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.nonlocal_blocks import BlockRule, block_volumes, filter_blocks

_SMALLEST = 2.0**-119
"""Weights below are 0: the kernels' powers end at 2^-120."""

Radius = tuple[int, int, int]


@dataclass(frozen=True)
class NlmRule:
    """What decides the weights w = exp(-max(d2 - d0, 0) / h^2), d2 the mean square difference of patches.

    Parameters
    ----------
    search, patch
        Radii [voxels] along x, y, z; the patch's at most 3.
    h
        Decay; in the unit of the guide.
    d0
        Difference that costs no weight.
    floor
        Weights below are 0.
    self_peak
        The voxel's own weight: the largest of the others (True) or 1.
    blocks
        Average whole patches, those alike in mean and variance; voxel by voxel when None.
    lmmse
        Estimate the voxel from the weighted mean and covariance instead of the mean alone (see
        kernels/nlm_lmmse.cu); for patches of one voxel, d0 = 0 and at most 32 components.
    """

    search: Radius
    patch: Radius
    h: float
    d0: float = 0.0
    floor: float = 0.0
    self_peak: bool = False
    blocks: BlockRule | None = None
    lmmse: bool = False

    def __post_init__(self) -> None:
        if self.lmmse and (any(self.patch) or self.d0 > 0 or self.blocks is not None):
            raise ValueError("an estimate from the covariance has patches of one voxel, d0 = 0 and no blocks")

    @property
    def margin(self) -> Radius:
        """Voxels around a voxel that its result depends on."""
        times = 1 if self.blocks is None else 2
        x, y, z = (s + times * p for s, p in zip(self.search, self.patch, strict=True))
        return x, y, z


def nonlocal_means(
    values: Array,
    mask: Array,
    rule: NlmRule,
    device: Device,
    *,
    guide: Array | None = None,
    precision: Array | None = None,
    sums: bool = False,
    slab: int | None = None,
    devices: Sequence[Device] | None = None,
) -> Array:
    """Average each voxel with those whose patches look alike in all components.

    d2(i, j) = mean over components c and patch voxels p of q_c(i+p) (g_c(i+p) - g_c(j+p))^2. Candidates j
    lie in the mask; patches see the image mirrored at its faces (the outermost voxel is not repeated).

    Parameters
    ----------
    values
        (component, x, y, z) float32, on the device or on the host.
    mask
        (x, y, z) bool; 0 in the result elsewhere.
    guide
        (component, x, y, z) g that weights are made of; `values` when None.
    precision
        (1, x, y, z) or (component, x, y, z): q; 1 when None. For an estimate from the covariance it is 1 /
        variance of the values' noise.
    sums
        Give the sum of each voxel's weights, its own among them, as one more component (not for blocks and
        estimates from the covariance).
    slab
        Planes along x done at a time; as many as memory allows when None. The result's bytes do not
        depend on it.
    devices
        Devices that share the slabs, with results of the same bytes where they are alike; `device` when None.

    Returns
    -------
    Array
        (component, x, y, z): on the device, or where `values` lies when done in several slabs.

    Raises
    ------
    InputError
        For more components than an estimate from the covariance takes.
    """
    if rule.lmmse and len(values) > LMMSE_COMPONENTS:
        raise InputError(
            f"{len(values)} components: an estimate from the covariance takes {LMMSE_COMPONENTS} at most",
            field="components",
        )
    devices = (device,) if devices is None else devices
    planes = slab or _planes(values, guide, precision, rule, devices)
    size = values.shape[1]
    if planes >= size and len(devices) == 1:
        return _filter_slab(values, mask, guide, precision, rule, devices[0], (0, size), sums=sums)
    home = device_of(values)
    home.synchronize()
    if len(devices) > 1:
        values, mask = to_numpy(values), to_numpy(mask)
        guide = None if guide is None else to_numpy(guide)
        precision = None if precision is None else to_numpy(precision)
    result = array_module(values).empty((len(values) + sums, *values.shape[1:]), np.float32)

    def filter_span(place: Device, span: tuple[int, int]) -> None:
        part = _filter_slab(values, mask, guide, precision, rule, place, span, sums=sums)
        result[:, slice(*span)] = part if isinstance(part, type(result)) else to_numpy(part)

    share_out(filter_span, [(x, min(x + planes, size)) for x in range(0, size, planes)], devices)
    return result if device_of(result).kind == home.kind else home.asarray(result)


def _filter_slab(
    values: Array,
    mask: Array,
    guide: Array | None,
    precision: Array | None,
    rule: NlmRule,
    device: Device,
    span: tuple[int, int],
    *,
    sums: bool,
) -> Array:
    padded = _padded(values, span, rule, device)
    inner: tuple[int, int, int] = (span[1] - span[0], mask.shape[1], mask.shape[2])
    result = device.empty((len(values) + sums, *inner))
    scale = math.log2(math.e) / rule.h**2
    arguments: dict[str, Any] = dict(
        guide=padded if guide is None else _padded(guide, span, rule, device),
        values=padded,
        mask=device.asarray(mask[slice(*span)], np.uint8),
        filtered=result[: len(values)],
        total=result[-1] if sums else device.empty(inner),
        peak=device.empty(inner),
        scale=scale / (len(values) * math.prod(2 * r + 1 for r in rule.patch)),
        offset=scale * rule.d0,
        most=-math.log2(max(rule.floor, _SMALLEST)),
        self_peak=int(rule.self_peak),
        **{f"search_{axis}": r for axis, r in zip("xyz", rule.search, strict=True)},
        **{f"patch_{axis}": r for axis, r in zip("xyz", rule.patch, strict=True)},
    )
    if device.kind == "cpu" and precision is None and rule.blocks is None and not rule.lmmse:
        candidate = _padded(mask[np.newaxis], span, rule, device, mirrored=False, dtype=np.int32)[0]
        launch(NLM_PAIRS, device, candidate=np.negative(candidate, out=candidate), **arguments)
        return result
    candidate = _padded(mask[np.newaxis], span, rule, device, mirrored=False)[0]
    maps = device.empty((0, *padded.shape[1:])) if precision is None else _padded(precision, span, rule, device)
    if rule.lmmse:
        own = {argument.name for argument in NLM_LMMSE.arguments}
        shared = {name: value for name, value in arguments.items() if name in own}
        launch(NLM_LMMSE, device, precision=maps, candidate=candidate, **shared)
    elif rule.blocks is None:
        launch(NLM, device, precision=maps, candidate=candidate, **arguments)
    else:
        filter_blocks(arguments, candidate, maps, rule.blocks, span[0], values.shape[1], device)
    return result


def _padded(
    array: Array,
    span: tuple[int, int],
    rule: NlmRule,
    device: Device,
    *,
    mirrored: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> Array:
    """Planes `span` of (component, x, y, z) with what their result depends on around them; 0 beyond."""
    margin, shape = rule.margin, array.shape[1:]
    low, high = span[0] - margin[0], span[1] + margin[0]
    padded = device.zeros(
        (len(array), high - low, shape[1] + 2 * margin[1], shape[2] + 2 * margin[2] + ROW_SLACK), dtype
    )
    first, last = max(low, 0), min(high, shape[0])
    _, my, mz = margin
    inner = (slice(first - low, last - low), slice(my, my + shape[1]), slice(mz, mz + shape[2]))
    for target, source in zip(padded, array, strict=True):  # one component at a time crosses to a GPU
        target[inner] = device.asarray(source[first:last], dtype, aligned=False)
    if mirrored:
        xp = device.xp
        for axis, start in enumerate((-low, margin[1], margin[2])):
            for target_index, source_index in _mirror(
                start, shape[axis], rule.patch[axis], padded.shape[axis + 1]
            ):
                along = xp.moveaxis(padded, axis + 1, 0)  # a view
                along[target_index] = along[source_index]
    return padded


def _mirror(start: int, size: int, depth: int, length: int) -> Iterator[tuple[int, int]]:
    """Positions to fill before and after an axis of `size` voxels that begins at `start`, and their sources."""
    period = max(2 * size - 2, 1)
    for k in range(1, depth + 1):
        for index in (-k, size - 1 + k):
            folded = index % period
            source = start + (folded if folded < size else period - folded)
            if 0 <= start + index < length and 0 <= source < length:
                yield start + index, source


def _planes(
    values: Array, guide: Array | None, precision: Array | None, rule: NlmRule, devices: Sequence[Device]
) -> int:
    """Planes of a slab: all on one device where they fit, else whole tiles that keep every device busy."""
    size = int(values.shape[1])

    def fitting(device: Device, parts: int) -> int:
        return _slab(values, guide, precision, rule, device, parts)

    if len(devices) == 1 and fitting(devices[0], 1) >= size:
        return size
    places = workers(devices)
    even = -(-size // (len(places) * TILE_DEPTH)) * TILE_DEPTH
    return min(even, *(fitting(device, places.count(device)) for device in devices))


def _slab(
    values: Array, guide: Array | None, precision: Array | None, rule: NlmRule, device: Device, parts: int
) -> int:
    """Planes that fit, `parts` slabs at a time, into half of the memory at hand: whole tiles where one fits."""
    size = int(values.shape[1])
    memory = available_memory(device)
    if memory is None:
        return size
    volumes = (
        2 * len(values) + (0 if guide is None else len(guide)) + (0 if precision is None else len(precision))
    )
    if rule.blocks is not None:
        volumes += block_volumes(rule.patch, len(values), rule.blocks)
    area = int(math.prod(n + 2 * m for n, m in zip(values.shape[2:], rule.margin[1:], strict=True)))
    planes: int = memory // (2 * parts) // (4 * (volumes + 4) * area) - 2 * rule.margin[0]
    if planes >= size:
        return size
    return max(1, planes // TILE_DEPTH * TILE_DEPTH or planes)
