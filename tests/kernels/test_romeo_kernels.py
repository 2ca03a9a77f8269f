from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.romeo import ROMEO_QUALITY, ROMEO_TEMPORAL, ROMEO_WEIGHTS
from qsmengine.stages.phase.growth import unwrap_spatially
from tests.stages.gre import DEVICE, turns_apart, wrapped

SHAPES = [(7, 6, 9), (6, 8, 16), (1, 5, 33), (4, 1, 3), (5, 5, 1), (3, 4, 2), (3, 2, 4)]


def shifted(image, axis, step, fill=np.nan):
    """The value `step` voxels further along the axis; `fill` beyond the edge."""
    padded = np.pad(
        image.astype(float), [(2, 2) if a == axis else (0, 0) for a in range(3)], constant_values=fill
    )
    return np.take(padded, np.arange(image.shape[axis]) + 2 + step, axis)


def reference_cost(phase, other, magnitude, mask, ratio, second, bright):
    cost = np.zeros((3, *phase.shape))
    inside = np.where(mask, 1.0, np.nan)
    for axis in range(3):
        before, here, after, last = (shifted(phase * inside, axis, step) for step in (-1, 0, 1, 2))
        step = wrapped(after - here)
        terms = [1 - np.abs(step) / np.pi]
        if second:
            other_step = wrapped(shifted(other, axis, 1) - other)
            terms.append(np.maximum(0, 1 - np.abs(step - other_step * ratio)))
        left = np.maximum(0, 1 - np.abs(wrapped(before - 2 * here + after)) / 2)
        right = np.maximum(0, 1 - np.abs(wrapped(here - 2 * after + last)) / 2)
        terms.append(np.where(np.isnan(left), 0.9, left) * np.where(np.isnan(right), 0.9, right))
        m, n = magnitude.astype(float), shifted(magnitude, axis, 1)
        terms.append((np.minimum(m, n) / np.maximum(m, n)) ** 2)
        if bright:
            terms.append(0.5 + 0.5 * np.minimum(1, np.minimum(m, n) / bright))
            terms.append(0.5 + 0.5 * np.minimum(1, bright / np.maximum(m, n)))
        weight = np.prod([0.1 + 0.9 * term for term in terms], axis=0)
        exists = mask & (shifted(mask, axis, 1, 0) > 0)
        cost[axis] = np.where(exists, np.clip(255 * (1 - weight), 1, 255), 0)
    return cost


def random_volume(shape, seed):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    other = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    phase *= rng.choice([0.1, 1.0], shape).astype(np.float32)
    magnitude = rng.uniform(0.1, 3, shape).astype(np.float32)
    return phase, other, magnitude, rng.random(shape) > 0.2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("bright", [None, 0.9])
def test_weights_equal_the_formula(shape, second, bright):
    phase, other, magnitude, mask = random_volume(shape, 1)
    cost = DEVICE.empty((3, *shape), np.uint8)
    launch(
        ROMEO_WEIGHTS, DEVICE, phase=phase, other=other, magnitude=magnitude, mask=mask.view(np.uint8),
        cost=cost, ratio=0.4, bright=bright or 1.0, second=second, magnitude_weights=int(bright is not None),
    )  # fmt: skip
    expected = reference_cost(phase, other, magnitude, mask, 0.4, second, bright)
    np.testing.assert_array_equal(cost == 0, expected == 0)
    assert np.abs(cost - expected).max() < 0.51
    assert len(np.unique(cost)) > 2


@pytest.mark.parametrize("shape", SHAPES)
def test_quality_is_the_mean_over_the_edges_of_a_voxel(shape):
    rng = np.random.default_rng(2)
    cost = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    for axis in range(3):
        np.moveaxis(cost[axis], axis, 0)[-1] = 0
    quality = DEVICE.empty(shape)
    launch(ROMEO_QUALITY, DEVICE, cost=cost, quality=quality)
    edges = np.concatenate([cost, [shifted(cost[a], a, -1, 0) for a in range(3)]]).astype(float)
    exists = edges > 0
    total = np.where(exists, (255 - edges) / 254, 0).sum(axis=0)
    np.testing.assert_allclose(quality, total / np.maximum(exists.sum(axis=0), 1), atol=1e-6)


def test_temporal_step_stays_within_pi_of_the_prediction():
    rng = np.random.default_rng(3)
    n = 1000
    phase = rng.uniform(-np.pi, np.pi, n).astype(np.float32)
    reference = rng.uniform(-30, 30, n).astype(np.float32)
    mask = (rng.random(n) > 0.3).astype(np.uint8)
    unwrapped, state = DEVICE.empty((n,)), DEVICE.empty((n,), np.uint8)
    launch(
        ROMEO_TEMPORAL, DEVICE, phase=phase, reference=reference, mask=mask, unwrapped=unwrapped, state=state,
        ratio=1.7, limit=1.0,
    )  # fmt: skip
    inside = mask > 0
    miss = np.abs(unwrapped - 1.7 * reference.astype(float))
    assert miss[inside].max() <= np.pi + 1e-4
    assert turns_apart(unwrapped[inside], phase[inside])[1].max() < 1e-4
    assert (unwrapped[~inside] == 0).all()
    clear = np.abs(miss - 1.0) > 1e-4
    np.testing.assert_array_equal(state[clear], np.where(inside, np.where(miss < 1.0, 2, 1), 0)[clear])


def distinct_costs(shape, rng):
    """Costs 1 .. 255, each at most once, so that the spanning tree is unique."""
    cost = np.zeros((3, *shape), np.uint8)
    exists = np.ones(cost.shape, bool)
    for axis in range(3):
        np.moveaxis(exists[axis], axis, 0)[-1] = False
    cost[exists] = rng.permutation(np.arange(1, 256))[: exists.sum()]
    return cost


def along_minimum_spanning_tree(phase, cost):
    shape, n = phase.shape, phase.size
    index = np.arange(n).reshape(shape)
    rows, columns, weights = [], [], []
    for axis in range(3):
        here = np.argwhere(cost[axis] > 0)
        there = here + np.eye(3, dtype=int)[axis]
        rows += index[tuple(here.T)].tolist()
        columns += index[tuple(there.T)].tolist()
        weights += cost[axis][tuple(here.T)].tolist()
    edges = np.array([rows, columns], np.int32)
    tree = minimum_spanning_tree(coo_array((weights, tuple(edges)), shape=(n, n)).tocsr())
    order, parents = breadth_first_order(tree, 0, directed=False)
    flat = phase.ravel().astype(float).copy()
    for voxel in order[1:]:
        flat[voxel] += 2 * np.pi * np.rint((flat[parents[voxel]] - flat[voxel]) / (2 * np.pi))
    return flat.reshape(shape)


@pytest.mark.parametrize("seed", range(5))
def test_growth_follows_the_minimum_spanning_tree(seed):
    rng = np.random.default_rng(seed)
    shape = (4, 4, 5)
    phase = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    cost = distinct_costs(shape, rng)
    unwrapped = unwrap_spatially(phase, cost, np.ones(shape, np.uint8), DEVICE)
    turns, rest = turns_apart(unwrapped, along_minimum_spanning_tree(phase, cost))
    assert rest.max() < 1e-5
    assert np.ptp(turns) == 0
    assert np.ptp(unwrapped) > 2 * np.pi
