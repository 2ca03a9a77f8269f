"""Blockwise non-local means with preselection: the blocks of a slab, and the calls of the kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.nlm_blocks import NLM_BLOCK_MEANS, NLM_BLOCKS, NLM_STATISTICS
from qsmengine.data import Array


@dataclass(frozen=True)
class BlockRule:
    """Lattice of the blocks, and preselection of the patches that they are compared with.

    Parameters
    ----------
    stride
        Spacing of the blocks' centres [voxels]; along an axis at most the patch's radius + 1.
    mean_ratio
        Smallest ratio of the smaller to the larger mean of two patches.
    variance_ratio
        Smallest ratio of the smaller to the larger variance of two patches.
    """

    stride: int = 2
    mean_ratio: float = 0.95
    variance_ratio: float = 0.5


def filter_blocks(
    shared: Mapping[str, Any],
    candidate: Array,
    maps: Array,
    rule: BlockRule,
    start: int,
    size: int,
    device: Device,
) -> None:
    """Filter planes from `start` of an image of `size` planes into ``shared["filtered"]``.

    Parameters
    ----------
    shared
        Arguments of the kernel nlm, by name.
    candidate
        Padded mask, 1 or 0.
    maps
        Padded precision (0, 1 or component, x, y, z).
    """
    guide, filtered = shared["guide"], shared["filtered"]
    patch = tuple(int(shared[f"patch_{axis}"]) for axis in "xyz")
    steps = tuple(min(rule.stride, r + 1) for r in patch)
    _, planes, ny, nz = filtered.shape
    low = -(-max(start - patch[0], 0) // steps[0]) * steps[0]  # the lattice is that of the whole image
    high = min(start + planes + patch[0], size)
    counts = (-(-(high - low) // steps[0]), -(-ny // steps[1]), -(-nz // steps[2]))
    place = {f"first_{a}": f for a, f in zip("xyz", (low - start, 0, 0), strict=True)}
    place |= {f"stride_{a}": s for a, s in zip("xyz", steps, strict=True)}
    place |= {f"patch_{a}": r for a, r in zip("xyz", patch, strict=True)}
    statistics = device.empty((len(guide) + 2, *guide.shape[1:]))
    launch(NLM_STATISTICS, device, guide=guide, statistics=statistics, **_named(shared, "patch"))
    estimates = device.empty((len(guide), math.prod(2 * r + 1 for r in patch), *counts))
    launch(
        NLM_BLOCKS,
        device,
        **{name: shared[name] for name in ("guide", "values", "scale", "offset", "most", "self_peak")},
        **_named(shared, "search"),
        **place,
        precision=maps,
        candidate=candidate,
        statistics=statistics,
        estimates=estimates,
        mean_part=1.0 - rule.mean_ratio,
        variance_ratio=rule.variance_ratio,
    )
    launch(NLM_BLOCK_MEANS, device, estimates=estimates, mask=shared["mask"], filtered=filtered, **place)


def block_volumes(patch: tuple[int, int, int], components: int, rule: BlockRule) -> int:
    """Return the number of arrays of the image's size that blocks need in addition to the image."""
    per_voxel = math.prod((2 * r + 1) / min(rule.stride, r + 1) for r in patch)
    return int(np.ceil(components * (per_voxel + 1))) + 2


def _named(shared: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name: value for name, value in shared.items() if name.startswith(f"{prefix}_")}
