"""Joint non-local means over several components, in slabs: padding, scaling and the call of the kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, array_module, device_of, to_numpy
from qsmengine.backend.group import share_out, workers
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from qsmengine.backend.memory import available_memory
from qsmengine.backend.signatures.nlm import (
    LMMSE_COMPONENTS,
    NLM,
    NLM_LMMSE,
    NLM_PACKED,
    NLM_PAIRS,
    NO_CANDIDATE,
    PACKED_ROWS,
    PACKED_SLACK,
    PAIRS_COLUMNS,
    TILE_DEPTH,
)
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.nonlocal_blocks import BlockRule, block_volumes, filter_blocks
from qsmengine.ops.nonlocal_padding import Padding

_SMALLEST = 2.0**-119
"""Smallest nonzero weight: the kernels' powers end at 2^-120."""

Radius = tuple[int, int, int]


@dataclass(frozen=True)
class NlmRule:
    """Parameters of the weights w = exp(-max(d2 - d0, 0) / h^2), d2 the mean square difference of patches.

    Parameters
    ----------
    search, patch
        Radii [voxels] along x, y, z; the patch's at most 3.
    h
        Decay, in the unit of the guide.
    d0
        Difference up to which the weight is 1.
    floor
        Smaller weights are set to 0.
    self_peak
        Weight of the voxel that is filtered: the largest of the others (True) or 1.
    blocks
        Average whole patches of similar mean and variance; None: voxel by voxel.
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
    def scale(self) -> float:
        """log2(e) / h^2: the weight is 2^-(scale d2)."""
        return math.log2(math.e) / self.h**2

    @property
    def margin(self) -> Radius:
        """Reach of a voxel's dependence on its neighbourhood [voxels]."""
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
    """Average each voxel with those whose patches are similar in all components.

    d2(i, j) = mean over components c and patch voxels p of q_c(i+p) (g_c(i+p) - g_c(j+p))^2. Candidates j
    lie in the mask; patches see the image mirrored at its faces (the outermost voxel is not repeated).

    Parameters
    ----------
    values
        (component, x, y, z) float32, on the device or on the host.
    mask
        (x, y, z) bool; 0 in the result elsewhere.
    guide
        (component, x, y, z): g, from which the weights are computed; None: `values`.
    precision
        (1, x, y, z) or (component, x, y, z): q; 1 when None. For an estimate from the covariance it is 1 /
        variance of the values' noise.
    sums
        Return the sum of each voxel's weights, including its own, as an additional component (not for blocks
        and estimates from the covariance).
    slab
        Planes along x processed at a time; None: as many as memory allows. The result does not depend on it.
    devices
        Devices that share the slabs; devices of the same kind give identical results. None: `device`.

    Returns
    -------
    Array
        (component, x, y, z) on the device, or, with several slabs, in the memory of `values`.

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
    kernel = _kernel(rule, precision, device)
    count, rows = len(values), mask.shape[1]
    packed = kernel is NLM_PACKED
    spare_rows = PACKED_SLACK - rows % -PACKED_ROWS if packed else 0
    spare_columns = -mask.shape[2] % PAIRS_COLUMNS if kernel is NLM_PAIRS else 0
    slack = spare_columns + PAIRS_COLUMNS if kernel is NLM_PAIRS else 0
    pad = Padding(span, rule.margin, rule.patch, device, spare_rows, slack)
    pack = (4 if count > 2 else count) if packed else 0
    padded = pad.images(values, pack)
    inner: tuple[int, int, int] = (span[1] - span[0], rows, mask.shape[2] + spare_columns)
    result = device.empty((count + sums, *inner))
    chosen = device.zeros(inner, np.uint8)
    chosen[..., : mask.shape[2]] = device.asarray(mask[slice(*span)], np.uint8)
    shared: dict[str, Any] = dict(
        guide=padded if guide is None else pad.images(guide, pack),
        values=padded,
        mask=chosen,
        filtered=result[:count],
        scale=rule.scale / (count * math.prod(2 * r + 1 for r in rule.patch)),
        most=-math.log2(max(rule.floor, _SMALLEST)),
        **{f"search_{axis}": r for axis, r in zip("xyz", rule.search, strict=True)},
    )
    if kernel is not NLM_PAIRS:
        maps = device.empty((0, *padded.shape[1:4])) if precision is None else pad.images(precision)
        shared["precision"] = maps
    if kernel is NLM_LMMSE:
        launch(NLM_LMMSE, device, **shared, candidate=pad.candidates(mask))
        return result
    shared["total"] = result[-1] if sums else device.empty(inner)
    if packed:
        offset = pad.candidates(mask, no=NO_CANDIDATE, yes=-rule.scale * rule.d0)
        plain = rule.d0 == 0 and rule.floor <= _SMALLEST
        launch(NLM_PACKED, device, **shared, offset=offset, plain=int(plain))
        return result
    shared |= {"peak": device.empty(inner), "offset": rule.scale * rule.d0, "self_peak": int(rule.self_peak)}
    shared |= {f"patch_{axis}": r for axis, r in zip("xyz", rule.patch, strict=True)}
    if kernel is NLM_PAIRS:
        reach = (shared["most"] + shared["offset"]) / shared["scale"]
        launch(kernel, device, **shared, reach=pad.candidates(mask, no=-1.0, yes=reach))
        return result[..., : mask.shape[2]]
    candidate = pad.candidates(mask)
    if rule.blocks is None:
        launch(kernel, device, **shared, candidate=candidate)
    else:
        maps = shared.pop("precision")
        filter_blocks(shared, candidate, maps, rule.blocks, span[0], values.shape[1], device)
    return result


def _kernel(rule: NlmRule, precision: Array | None, device: Device) -> Kernel:
    """Return the kernel of non-local means that is fastest on the device; NLM is also used for blocks."""
    if rule.lmmse:
        return NLM_LMMSE
    if rule.blocks is not None:
        return NLM
    if device.kind == "cpu":
        return NLM_PAIRS if precision is None else NLM
    one_map = precision is None or len(precision) == 1
    return NLM_PACKED if rule.patch == (1, 1, 1) and one_map and not rule.self_peak else NLM


def _planes(
    values: Array, guide: Array | None, precision: Array | None, rule: NlmRule, devices: Sequence[Device]
) -> int:
    """Return the planes of a slab: all on one device if they fit, else whole tiles for every device."""
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
    """Return the planes, in whole tiles if possible, of which `parts` slabs fit into half of the memory."""
    size = int(values.shape[1])
    memory = available_memory(device)
    if memory is None:
        return size
    padded = len(values) if _kernel(rule, precision, device) is not NLM_PACKED else -(-len(values) // 4) * 4
    volumes = len(values) + padded * (1 if guide is None else 2)
    volumes += 0 if precision is None else len(precision)
    if rule.blocks is not None:
        volumes += block_volumes(rule.patch, len(values), rule.blocks)
    area = int(math.prod(n + 2 * m for n, m in zip(values.shape[2:], rule.margin[1:], strict=True)))
    planes: int = memory // (2 * parts) // (4 * (volumes + 4) * area) - 2 * rule.margin[0]
    if planes >= size:
        return size
    return max(1, planes // TILE_DEPTH * TILE_DEPTH or planes)
