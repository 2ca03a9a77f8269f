"""Arguments of ROMEO's forest and branch kernels that fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

NO_EDGE = np.iinfo(np.int64).max
TURN_PLACE = 1 << 32


def nodes(roots: Any, turns: Any) -> Any:
    """tree[i] = root + 2^32 turns."""
    return np.asarray(roots, np.int64) + TURN_PLACE * np.asarray(turns, np.int64)


def valid_costs(shape: tuple[int, int, int], rng: np.random.Generator, highest: int = 255) -> Any:
    """Costs 0 .. highest, 0 on the last plane of each axis."""
    cost = rng.integers(0, highest + 1, (3, *shape)).astype(np.uint8)
    for axis in range(3):
        np.moveaxis(cost[axis], axis, 0)[-1] = 0
    return cost


def forest(values: dict[str, Any], _sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """A first round: each voxel is a separate tree, or settled; links lead to lower voxels."""
    state = values["state"]
    n = state.size
    state[...] = rng.integers(0, 3, state.shape)
    own = np.arange(n).reshape(state.shape)
    if "tree" in values:
        values["tree"][...] = np.where(state == 2, n, own)
    if "first" in values:
        values["first"][...] = NO_EDGE
    if "link" in values:
        links = nodes((own * rng.random(state.shape)).astype(np.int64), rng.integers(-3, 4, state.shape))
        values["link"][...] = np.where(rng.random(state.shape) < 0.3, own, links)
        values["link"].flat[0] = 0
    if "cost" in values:
        values["cost"][...] = valid_costs(state.shape, rng, 3)
    if "phase" in values:
        values["phase"][...] = rng.uniform(-np.pi, np.pi, state.shape)
        values["first"][...] = _some_edges(state, rng)
    if "done" in values:
        values["done"][...], values["round"] = 1, 0
        values["done"][0] = 0


def _some_edges(state: Any, rng: np.random.Generator) -> Any:
    """For each voxel the key of an edge to a neighbour inside, if it has one."""
    key = np.full(state.shape, NO_EDGE)
    own = np.arange(state.size).reshape(state.shape)
    inside = state > 0
    for axis in range(3):
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        exists = inside[lower] & inside[upper]
        cost = rng.integers(1, 4, exists.shape)
        edge = np.where(exists, cost * TURN_PLACE + 3 * own[lower] + axis, NO_EDGE)
        key[lower] = np.minimum(key[lower], edge)
        key[upper] = np.minimum(key[upper], edge)
    return key


def branches(values: dict[str, Any], sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Trees that alternate over runs of voxels, the root of tree k being voxel k."""
    n, trees = sizes.get("n", 1), sizes.get("trees", 1)
    if "state" in values:
        values["state"][...] = rng.integers(0, 3, n)
        values["state"][:trees] = 1
        values["state"][trees : trees + 40] = 0
        values["state"][2000:2100] = 0  # where a segment begins
        root = np.arange(n) // 170 % trees
        root[:trees] = np.arange(trees)
        turns = rng.integers(-3, 4, n)
        turns[:trees] = 0
        values["tree"][...] = nodes(root, turns)
    if "number" in values:
        values["number"][:trees] = np.arange(trees)
    if "roots" in values and values["roots"].dtype == np.int64:
        values["roots"][...] = rng.permutation(n)[:trees]
    for name in ("phase", "other"):
        if name in values:
            values[name][...] = rng.uniform(-np.pi, np.pi, n)
    if "counts" in values:
        values["counts"][...] = TURN_PLACE * 50 + rng.integers(0, 50, trees)
    for name in ("cosine", "sine", "sums"):
        if name in values:
            values[name][...] = rng.integers(-(10**9), 10**9, trees)
    values |= {k: v for k, v in {"step": 2, "ratio": 140_000, "shift": 16384}.items() if k in values}


CONSTRAINTS = {
    **dict.fromkeys(("romeo_start", "romeo_first", "romeo_link", "romeo_follow"), forest),
    **dict.fromkeys(
        ("romeo_roots", "romeo_reset", "romeo_count", "romeo_narrow", "romeo_misfit", "romeo_branch"), branches
    ),
    **dict.fromkeys(("romeo_turn", "romeo_continue"), branches),
}
DIMENSIONS = {
    name: {"n": 4500, "trees": 7} for name in ("romeo_reset", "romeo_count", "romeo_misfit", "romeo_turn")
}
"""Several segments, and fewer trees than voxels."""
