"""Fits from tables and images that do not belong together."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.modalities.plausible import (
    FASTEST,
    check_certainty,
    check_decay,
    check_diffusivity,
    check_exchanged,
    check_limits,
    diffusivity_notes,
)

SHAPE = (9, 10, 11)


def decaying(rng, times):
    rate = rng.uniform(8, 20, SHAPE)
    return (900 * np.exp(-rate[..., None] * np.array(times))).astype(np.float32)


def test_echoes_that_decay_pass_and_reversed_ones_are_refused_with_both_signals(rng):
    times, mask = (0.01, 0.02, 0.03), np.ones(SHAPE, bool)
    signal = decaying(rng, times)
    check_decay(signal, mask, range(3), times)
    with pytest.raises(InputError, match=r"grows with the echo time.* at 10 ms and .* at 30 ms"):
        check_decay(signal[..., ::-1], mask, range(3), times)


def test_echoes_of_one_excitation_alone_are_compared_and_only_in_the_mask(rng):
    times = (0.01, 0.02, 0.01, 0.02)
    signal = np.concatenate([decaying(rng, times[:2]), 10 * decaying(rng, times[2:])], axis=3)
    mask = rng.uniform(size=SHAPE) > 0.5
    signal[~mask] = signal[~mask][:, ::-1]
    check_decay(signal, mask, (0, 1), times)
    check_decay(signal, mask, (2, 3), times)


@pytest.mark.parametrize("pair", [(1, 2), (0, 3), (2, 3), (0, 1)])
def test_exchanged_magnitudes_are_named(rng, pair):
    times, mask = (0.004, 0.012, 0.02, 0.028), np.ones(SHAPE, bool)
    signal = decaying(rng, times)
    check_exchanged(signal, mask, times)
    order = list(range(4))
    order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
    with pytest.raises(InputError, match=f"if echoes {pair[0] + 1} and {pair[1] + 1} change places.*; advice"):
        check_exchanged(signal[..., order], mask, times, "; advice")


@pytest.mark.parametrize("scales", [(1, 1.04, 1, 1.04), (1, 1.4, 1, 1.4), (1, 1, 2, 2), (1, 2, 4, 8)])
def test_echoes_with_scales_of_their_own_are_not_taken_for_exchanged(rng, scales):
    times, mask = (0.004, 0.012, 0.02, 0.028), np.ones(SHAPE, bool)
    check_exchanged(decaying(rng, times) * np.array(scales, np.float32), mask, times)
    check_exchanged(decaying(rng, times[:2]), mask, times[:2])
    check_exchanged(np.zeros((*SHAPE, 4)), mask, times)


def test_whole_numbers_and_a_mask_that_no_sample_meets_pass(rng):
    times, mask = (0.01, 0.02), np.zeros((130, 10, 11), bool)
    mask[1, 1, 1] = True
    signal = np.zeros((*mask.shape, 2), np.int16)
    signal[..., 1] = 7
    check_decay(signal, mask, range(2), times)
    with pytest.raises(InputError, match="grows with the echo time"):
        check_decay(signal, np.ones_like(mask), range(2), times)


@pytest.mark.parametrize("limit", [0.1, 20.0])
def test_values_at_a_limit_are_refused_unless_few(limit, rng):
    values = rng.uniform(0.5, 1.5, SHAPE)
    values[0] = 0  # unknown
    values[1] = limit
    check_limits(values, (0.1, 20.0), "R1", "compare the tables")
    values[1:4] = limit
    with pytest.raises(InputError, match=f"R1 lies at the limit of its fit, {limit:g}, in 38 %.*compare"):
        check_limits(values, (0.1, 20.0), "R1", "compare the tables")


def test_values_as_uncertain_as_they_are_large_are_refused(rng):
    values = rng.uniform(5, 6, SHAPE)
    values[0] = 0  # unknown
    check_certainty(values, 0.3 * values, "R2", "look")
    with pytest.raises(InputError, match="of R2 is typically 80 % of it: look"):
        check_certainty(values, 0.8 * values, "R2", "look")
    check_certainty(np.zeros(SHAPE), np.ones(SHAPE), "R2", "look")


def test_water_that_diffuses_faster_than_free_water_is_refused(rng):
    diffusivity, status = rng.uniform(0.5e-3, 3e-3, SHAPE), np.ones(SHAPE, np.uint8)
    check_diffusivity(diffusivity, status)
    check_diffusivity(10 * diffusivity, 0 * status)
    assert np.median(10 * diffusivity) > FASTEST
    with pytest.raises(InputError, match=r"bval: the median mean diffusivity is .* b-values are too small"):
        check_diffusivity(10 * diffusivity, status)


def test_diffusivities_of_no_living_tissue_are_noted(rng):
    diffusivity, status = rng.uniform(0.5e-3, 1.2e-3, SHAPE), np.ones(SHAPE, np.uint8)
    status[0, 0, 0] = 2
    assert diffusivity_notes(diffusivity, status) == []
    assert diffusivity_notes(diffusivity / 10, 0 * status) == []
    (note,) = diffusivity_notes(diffusivity / 10, status)
    assert "b-values that are too large" in note
    status[0] = 2
    (note,) = diffusivity_notes(diffusivity, status)
    assert "11 % of the fitted voxels have a negative eigenvalue" in note
