"""ROMEO's growth: both algorithms against a plain one in double precision, and the turns of whole trees."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.ndimage import label

from bench.emulator.kernels import emulator_of
from bench.inputs.kernels import dimensions, outputs, random_values
from bench.inputs.romeo import valid_costs
from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures import all_kernels
from qsmengine.errors import InputError
from qsmengine.stages.phase import growth
from qsmengine.stages.phase.growth import forest_by_rounds, regrow, spanning_forest, unwrap_spatially
from tests.emulator.marks import needs_emulator
from tests.stages.gre import DEVICE

TWO_PI = 2 * np.pi
KERNELS = [k for k in all_kernels() if k.source in {"romeo_forest.cu", "romeo_branch.cu"}]
FORESTS = [spanning_forest, forest_by_rounds]
SHAPES = [(7, 6, 9), (5, 8, 4), (1, 1, 1), (1, 1, 40), (1, 30, 1), (25, 1, 1), (1, 9, 12), (2, 2, 2)]
SETTLED = -1


def reference(phase, cost, state):
    """Turns and label of each voxel after joining components over the edges, the cheapest first."""
    flat, inside = phase.astype(float).ravel(), state.ravel()
    strides = np.array(phase.strides) // phase.itemsize
    edges = [
        (value, 3 * voxel + axis, voxel, voxel + strides[axis])
        for axis in range(3)
        for voxel, value in enumerate(cost[axis].ravel())
        if value and inside[voxel] and inside[voxel + strides[axis]]
    ]
    labels, turns = np.where(inside == 2, SETTLED, np.arange(flat.size)), np.zeros(flat.size, int)
    for _, _, i, j in sorted(edges):
        a, b = labels[i], labels[j]
        if a == b:
            continue
        shift = turns[j] + int(np.rint((flat[j] - flat[i]) / TWO_PI)) - turns[i]
        moved, kept, shift = (b, a, -shift) if a == SETTLED else (a, b, shift)
        turns[labels == moved] += shift
        labels[labels == moved] = kept
    return turns.reshape(phase.shape), labels.reshape(phase.shape)


def assert_is_the_reference(tree, phase, cost, state):
    expected, labels = reference(phase, cost, state)
    tree = to_numpy(tree)
    turns, roots = tree >> 32, tree & 0xFFFFFFFF
    for one in np.unique(labels[state > 0]):
        members = (labels == one) & (state > 0)
        (root,) = np.unique(roots[members])
        if one == SETTLED:
            assert root == phase.size
            np.testing.assert_array_equal(turns[members], expected[members])
        else:
            assert members.flat[root]
            assert turns.flat[root] == 0
            assert np.ptp(turns[members] - expected[members]) == 0
    first = [roots[(labels == one) & (state > 0)][0] for one in np.unique(labels[state > 0])]
    assert len(set(first)) == len(first)


def volume(shape, rng, highest=255, settled=0.0):
    """Random phase, costs and state."""
    phase = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    state = rng.choice([0, 1, 2], shape, p=[0.25, 0.75 - settled, settled]).astype(np.uint8)
    return phase, valid_costs(shape, rng, highest), state


def with_edges_everywhere(cost, value):
    """The costs with `value` where there is no edge, but none on the last plane of each axis."""
    filled = np.where(cost == 0, np.uint8(value), cost)
    for axis in range(3):
        np.moveaxis(filled[axis], axis, 0)[-1] = 0
    return filled


@pytest.mark.parametrize("forest", FORESTS)
@pytest.mark.parametrize("settled", [0.0, 0.1])
@pytest.mark.parametrize("highest", [1, 3, 255])
@pytest.mark.parametrize("shape", SHAPES)
def test_forest_is_that_of_the_plain_algorithm(forest, settled, highest, shape):
    rng = np.random.default_rng(17)
    for _ in range(3):
        phase, cost, state = volume(shape, rng, highest, settled)
        assert_is_the_reference(forest(phase, cost, state, DEVICE), phase, cost, state)


@pytest.mark.parametrize("forest", FORESTS)
def test_costs_that_are_all_equal_are_joined_in_order_of_the_edges(forest):
    shape = (12, 9, 14)
    phase, cost, _ = volume(shape, np.random.default_rng(1), 0)
    cost = with_edges_everywhere(cost, 7)
    state = np.ones(shape, np.uint8)
    assert_is_the_reference(forest(phase, cost, state, DEVICE), phase, cost, state)


@pytest.mark.parametrize("forest", FORESTS)
def test_costs_that_fall_along_a_row_make_one_long_chain(forest):
    phase = np.random.default_rng(2).uniform(-np.pi, np.pi, (1, 1, 250)).astype(np.float32)
    cost, state = np.zeros((3, 1, 1, 250), np.uint8), np.ones((1, 1, 250), np.uint8)
    cost[2, 0, 0, :-1] = np.arange(249, 0, -1)
    assert_is_the_reference(forest(phase, cost, state, DEVICE), phase, cost, state)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(33, 20, 41), (40, 40, 1)])
def test_both_algorithms_unwrap_to_the_same_bytes(shape, threads, monkeypatch):
    rng = np.random.default_rng(5)
    phase, cost, _ = volume(shape, rng, 40)
    mask = (rng.random(shape) < 0.6).astype(np.uint8)
    other = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    device = cpu(threads)
    found = unwrap_spatially(phase, cost, mask, device, other=other, ratio=2.3)
    monkeypatch.setattr(growth, "spanning_forest", forest_by_rounds)
    again = unwrap_spatially(phase, cost, mask, device, other=other, ratio=2.3)
    assert label(mask)[1] > 50
    assert found.tobytes() == again.tobytes()


def test_gpu_gives_the_bytes_of_the_cpu(gpu: Device):
    rng = np.random.default_rng(6)
    phase, cost, state = volume((21, 18, 26), rng, 60, settled=0.02)
    mask = (state > 0).astype(np.uint8)
    other = rng.uniform(-np.pi, np.pi, phase.shape).astype(np.float32)

    def on(device):
        p, o, s, m, c = (device.asarray(a, a.dtype) for a in (phase, other, state, mask, cost))
        grown = unwrap_spatially(p, c, m, device, other=o, ratio=1.6)
        return to_numpy(grown).tobytes(), to_numpy(regrow(c, s, p, device)).tobytes()

    assert on(gpu) == on(cpu(1))


@needs_emulator
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_fused_operations_of_a_gpu_do_not_change_a_byte(kernel):
    expected = random_values(kernel, dimensions(kernel, "many tiles"), np.random.default_rng(31))
    found = copy.deepcopy(expected)
    launch(kernel, cpu(1), **expected)
    emulator_of(kernel.source, fused=True).run(kernel, found, flush=True)
    for name, array in outputs(kernel, expected).items():
        assert array.tobytes() == found[name].tobytes(), name


def median_branch(unwrapped, members):
    """Lower median of the branches of 2 pi in which a component's voxels lie."""
    branch = np.sort(np.rint(unwrapped[members] / TWO_PI))
    return branch[(branch.size - 1) // 2]


def test_median_of_each_component_lies_in_the_branch_around_zero():
    rng = np.random.default_rng(8)
    shape = (30, 21, 17)
    phase, _, _ = volume(shape, rng)
    cost = with_edges_everywhere(valid_costs(shape, rng, 9), 9)
    mask = rng.random(shape) < 0.45
    unwrapped = unwrap_spatially(phase, cost, mask.astype(np.uint8), DEVICE)
    components, count = label(mask)
    sizes = np.bincount(components.ravel())[1:]
    assert count > 200
    assert sizes.max() > 1000
    for one in range(1, count + 1):
        assert median_branch(unwrapped, components == one) == 0
    assert np.abs(np.rint(unwrapped / TWO_PI)).max() >= 2
    assert (unwrapped[~mask] == 0).all()


def test_other_echo_moves_each_component_by_the_turns_that_fit_best():
    rng = np.random.default_rng(9)
    shape, ratio = (4, 4, 400), 2.37
    mask = np.ones(shape, np.uint8)
    mask[..., 9::10] = 0
    turns = np.repeat(rng.integers(-2, 3, 40), 10)
    truth = rng.uniform(-0.3, 0.3, shape) + TWO_PI * turns
    phase = (truth - TWO_PI * turns).astype(np.float32)
    other = np.angle(np.exp(1j * (ratio * truth + 0.2 * rng.normal(size=shape)))).astype(np.float32)
    cost = with_edges_everywhere(np.zeros((3, *shape), np.uint8), 20)
    unwrapped = unwrap_spatially(phase, cost, mask, DEVICE, other=other, ratio=ratio)
    np.testing.assert_allclose(unwrapped[mask > 0], truth[mask > 0], atol=2e-6)
    assert set(turns) == {-2, -1, 0, 1, 2}


def test_turns_of_the_input_do_not_change_the_result():
    rng = np.random.default_rng(10)
    shape = (11, 12, 13)
    phase, cost, state = volume(shape, rng, 30)
    mask = (state > 0).astype(np.uint8)
    shifted = (phase.astype(float) + TWO_PI * rng.integers(-9, 10, shape)).astype(np.float32)
    plain = unwrap_spatially(phase, cost, mask, DEVICE)
    np.testing.assert_allclose(unwrap_spatially(shifted, cost, mask, DEVICE), plain, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipped_volumes_unwrap_alike_where_no_two_costs_are_equal(axis):
    rng = np.random.default_rng(12)
    phase, cost, _ = volume((4, 4, 5), rng)
    order = rng.permutation(np.arange(1, 256))[: cost.size]
    cost = with_edges_everywhere(np.zeros_like(cost), 1) * order.reshape(cost.shape).astype(np.uint8)
    mask = np.ones(phase.shape, np.uint8)
    turned = np.flip(cost, 1 + axis).copy()
    turned[axis] = np.roll(turned[axis], -1, axis)
    found = unwrap_spatially(np.flip(phase, axis).copy(), turned, mask, DEVICE)
    plain = unwrap_spatially(phase, cost, mask, DEVICE)
    assert np.ptp(plain) > 2 * TWO_PI
    np.testing.assert_array_equal(np.flip(found, axis), plain)


def test_turned_phase_is_exact_to_the_last_digit():
    phase = np.linspace(-3.1, 3.1, 3000, dtype=np.float32).reshape(1, 1, -1)
    wrapped = np.angle(np.exp(1j * 40.0 * phase)).astype(np.float32)
    cost = np.zeros((3, 1, 1, 3000), np.uint8)
    cost[2, ..., :-1] = 1
    unwrapped = unwrap_spatially(wrapped, cost, np.ones(phase.shape, np.uint8), DEVICE)
    turns = np.rint((unwrapped - wrapped.astype(float)) / TWO_PI)
    assert np.abs(turns).max() > 15
    np.testing.assert_array_equal(unwrapped, (wrapped + TWO_PI * turns).astype(np.float32))


def test_regrowth_leaves_settled_and_unreachable_voxels_alone():
    shape = (1, 1, 8)
    unwrapped = np.array([20.0, 0.5, 1.0, 1.5, 0.0, 0.3, 7.0, 3.0], np.float32).reshape(shape)
    state = np.array([2, 1, 1, 1, 0, 1, 1, 1], np.uint8).reshape(shape)
    cost = np.zeros((3, *shape), np.uint8)
    cost[2, 0, 0] = [9, 200, 3, 0, 0, 5, 5, 0]
    before = unwrapped.ravel()
    after = regrow(cost, state, unwrapped, DEVICE).ravel()
    np.testing.assert_allclose(after[1:4], before[1:4] + 6 * np.pi, rtol=1e-6)
    np.testing.assert_array_equal(after[[0, 4, 5, 6, 7]], before[[0, 4, 5, 6, 7]])


def test_volumes_beyond_the_numbers_of_edges_are_refused(monkeypatch):
    monkeypatch.setattr(growth, "MOST_VOXELS", 100)
    phase, cost, state = volume((5, 5, 5), np.random.default_rng(0))
    with pytest.raises(InputError, match="more than 100 voxels"):
        forest_by_rounds(phase, cost, state, DEVICE)
