"""Arguments of the kernels that handle shapes of masks: trees of runs, tables of a ball, blocks, windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

Values = dict[str, Any]

LINE = 256
"""Voxels of a row that kernels/components.cu handles together."""


def runs(mask: np.ndarray) -> np.ndarray:
    """Distance of each voxel from the first of its run, uint8; 0 outside the mask."""
    back = np.zeros(mask.shape, np.uint8)
    for k in range(1, mask.shape[-1]):
        if k % LINE:
            inside = (mask[..., k] != 0) & (mask[..., k - 1] != 0)
            back[..., k] = np.where(inside, back[..., k - 1] + 1, 0)
    return back


def roots(parent: np.ndarray) -> np.ndarray:
    """The root of every voxel's tree."""
    found = parent.reshape(-1)
    while not np.array_equal(found, found[found]):
        found = found[found]
    return found.reshape(parent.shape)


def unjoined(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    """Every run as a separate tree."""
    values["back"] = runs(values["mask"])
    values["parent"] = np.arange(values["mask"].size, dtype=np.int32).reshape(values["mask"].shape)


def joined(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Trees that are chains: each run of a component hangs on the one before. No component has been counted."""
    unjoined(values, sizes, rng)
    labels, count = ndimage.label(values["mask"])
    first = (values["mask"] != 0) & (values["back"] == 0)
    for label in range(1, count + 1):
        chain = np.flatnonzero(first & (labels == label))
        values["parent"].reshape(-1)[chain[1:]] = chain[:-1]
    for name in ("size", "chosen"):
        if name in values:
            values[name][...] = 0


def flat(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Trees of depth 1, some of them chosen."""
    chosen = values["chosen"].copy()
    joined(values, sizes, rng)
    values["parent"] = roots(values["parent"])
    values["chosen"] = chosen


def ball_gaps(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    values["reach"] = 5


def ball_planes(values: Values, _sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Widths that fall along both axes; distances and the mark of none."""
    width = rng.integers(0, 7, values["width"].shape)
    values["width"] = (-np.sort(np.sort(-width, axis=0), axis=1)).astype(np.uint8)
    gap = rng.integers(0, 9, values["gap"].shape)
    values["gap"] = np.where(gap > 6, 255, gap).astype(np.uint8)


def ball_keep(values: Values, _sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values["reach"] = 3
    taken = rng.integers(-20, 5, values["taken"].shape)
    values["taken"] = np.maximum(taken, 0).astype(np.uint8)


def nearest_along(values: Values, _sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Sources that are rare, so that searches go far."""
    places = np.arange(values["source"].size, dtype=np.int32).reshape(values["source"].shape)
    values["source"] = np.where(rng.uniform(size=places.shape) < 0.2, places, -1).astype(np.int32)
    values["square"] = rng.integers(0, 5, places.shape).astype(np.int32)
    values["axis"] = int(rng.integers(3))


def blocks(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    values |= {"fx": 2, "fy": 3, "fz": 7}


def window_sum(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values["axis"] = int(rng.integers(3))
    length = (sizes["nx"], sizes["ny"], sizes["nz"])[values["axis"]]
    values["places"] = rng.integers(0, length, values["places"].shape).astype(np.int32)


def uniform(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Places in ascending order, each at most once, in an image that has room for them."""
    n = max(sizes["n"], sizes["m"])
    values["place"] = np.sort(rng.permutation(n)[: sizes["m"]]).astype(np.int64)
    for name in {"x", "total"} & values.keys():
        values[name] = np.resize(values[name], n)


CONSTRAINTS = {
    "uniform_sums": uniform,
    "uniform_step": uniform,
    "components_join": unjoined,
    "components_sizes": joined,
    "components_border": joined,
    "components_pick": flat,
    "ball_gaps": ball_gaps,
    "ball_planes": ball_planes,
    "ball_keep": ball_keep,
    "nearest_along": nearest_along,
    "block_mean": blocks,
    "block_phasor": blocks,
    "block_spread": blocks,
    "window_sum": window_sum,
}

_BLOCKS = {
    "nx": 5,
    "ny": 4,
    "nz": 1000,
    "bx": 3,
    "by": 2,
    "bz": 144,
}  # two stretches, the outer blocks not full
DIMENSIONS = {
    "block_mean": _BLOCKS,
    "block_phasor": _BLOCKS,
    "block_spread": _BLOCKS,
    "window_sum": {"nx": 4, "ny": 5, "nz": 300, "taps": 4, "reached": 306},
}
