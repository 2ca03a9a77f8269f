"""R2 from trains of spin echoes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.spin_echo import (
    B1_COUNT,
    B1_RANGE,
    T2_COUNT,
    T2_RANGE,
    EpgParams,
    epg,
    train_table,
)
from tests.stages.relaxometry.spoiled import apply

SHAPE, SPACING, ECHOES, T1 = (4, 5, 6), 0.011, 10, 1.0
TIMES = (tuple(SPACING * k for k in range(1, ECHOES + 1)),)


def train(t2, b1, count=400):
    """Echoes (voxel, echo) of spins at `count` precession angles per half spacing, by rotation matrices."""
    angle = 2 * np.pi * (np.arange(count) + 0.5) / count
    precession = np.zeros((count, 3, 3))
    precession[:, 0, 0] = precession[:, 1, 1] = np.cos(angle)
    precession[:, 0, 1], precession[:, 1, 0], precession[:, 2, 2] = -np.sin(angle), np.sin(angle), 1.0
    generator = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    found = np.empty((len(t2), ECHOES))
    for voxel, (decay, field) in enumerate(zip(t2, b1, strict=True)):
        e1, e2 = np.exp(-0.5 * SPACING / T1), np.exp(-0.5 * SPACING / decay)
        spins = np.tile([np.sin(np.pi / 2 * field), 0.0, np.cos(np.pi / 2 * field)], (count, 1))
        pulse = expm(np.pi * field * generator)
        for echo in range(ECHOES):
            for half in range(2):
                spins = np.einsum("nij,nj->ni", precession, spins * [e2, e2, e1] + [0, 0, 1 - e1])
                spins = spins @ pulse.T if half == 0 else spins
            found[voxel, echo] = spins[:, 0].mean()
    return found


@pytest.fixture(scope="module")
def tissue():
    """T2, B1, amplitude (x, y, z) and echoes (x, y, z, echo) without noise, by the sum over spins."""
    rng = np.random.default_rng(1)
    t2, b1, size = rng.uniform(0.03, 0.25, SHAPE), rng.uniform(0.6, 0.97, SHAPE), rng.uniform(100, 900, SHAPE)
    echoes = train(t2.ravel(), b1.ravel(), 45).reshape(*SHAPE, ECHOES)
    return t2, b1, size, size[..., None] * np.abs(echoes)


def test_the_phase_graph_agrees_with_a_sum_over_spins():
    table = train_table(SPACING, ECHOES, T1, np.pi / 2, np.pi)
    i, j = (25, 56, 81), (12, 32, 60)
    t2, b1 = np.geomspace(*T2_RANGE, T2_COUNT)[list(i)], np.linspace(*B1_RANGE, B1_COUNT)[list(j)]
    np.testing.assert_allclose(table[:, i, j].T, train(t2, b1), atol=2e-4)


def test_t2_and_b1_are_recovered_without_noise(tissue):
    t2, b1, size, echoes = tissue
    result = apply(epg, EpgParams(), echoes, TIMES)
    np.testing.assert_allclose(result.r2, 1 / t2, rtol=1e-4)
    np.testing.assert_allclose(result.t2 * result.r2, 1.0, rtol=1e-5)
    np.testing.assert_allclose(result.refocusing_b1, b1, atol=1e-4)
    np.testing.assert_allclose(result.spin_amplitude, size, rtol=1e-4)


def test_a_b1_map_fixes_the_field_also_above_one(tissue):
    t2, _, size, _ = tissue
    b1 = np.random.default_rng(2).uniform(0.7, 1.3, SHAPE)
    echoes = size[..., None] * np.abs(train(t2.ravel(), b1.ravel(), 45)).reshape(*SHAPE, ECHOES)
    result = apply(epg, EpgParams(), echoes, TIMES, b1=b1)
    np.testing.assert_allclose(result.r2, 1 / t2, rtol=1e-4)
    np.testing.assert_allclose(result.refocusing_b1, b1, atol=1e-4)


def test_inverted_echoes_of_a_short_t2_have_the_sign_of_a_magnitude():
    rng, shape = np.random.default_rng(4), (2, 3, 4)
    t2, b1 = rng.uniform(0.014, 0.022, shape), rng.uniform(0.65, 0.95, shape)
    echoes = train(t2.ravel(), b1.ravel(), 45).reshape(*shape, ECHOES)
    assert (echoes.min(axis=-1) < -2e-3).mean() > 0.2
    np.testing.assert_allclose(apply(epg, EpgParams(), np.abs(echoes), TIMES).r2, 1 / t2, rtol=1e-4)


def test_an_exponential_overestimates_t2_where_the_fit_does_not(tissue):
    t2, b1, _, echoes = tissue
    low = b1 < 0.8
    slope = np.polyfit(TIMES[0], np.log(echoes[low]).T, 1)[0]
    assert np.median(-1 / slope / t2[low]) > 1.1
    result = apply(epg, EpgParams(), echoes, TIMES)
    assert np.median(result.t2[low] / t2[low]) == pytest.approx(1.0, abs=1e-3)


def test_standard_deviations_are_those_of_repeated_measurements():
    shape = (16, 16, 16)
    clean = 1000 * np.abs(train(np.array([0.08]), np.array([0.85])))[0]
    noisy = clean + 4.0 * np.random.default_rng(3).normal(size=(*shape, ECHOES))
    result = apply(epg, EpgParams(), noisy, TIMES)
    assert result.r2.mean() == pytest.approx(12.5, rel=5e-3)
    assert np.median(result.r2_sd) == pytest.approx(result.r2.std(), rel=0.1)


def test_voxels_without_signal_mask_or_b1_are_zero(tissue):
    _, b1, _, echoes = tissue
    echoes, mask, b1 = echoes.copy(), np.ones(SHAPE, bool), b1.copy()
    echoes[0], mask[1], b1[2] = 0.0, False, 0.0
    for image in apply(epg, EpgParams(), echoes, TIMES, mask, b1=b1):
        assert not image[:3].any()
        assert image[3:].all()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((0.01, 0.02, 0.03), "3 spin echoes; 4 or more"),
        ((0.01, 0.02, 0.03, 0.05), "not multiples of one spacing"),
        ((0.02, 0.03, 0.04, 0.05), "not multiples of one spacing"),
        ((10.0, 20.0, 30.0, 40.0), "seconds"),
    ],
)
def test_trains_that_the_simulation_does_not_describe_are_refused(times, message):
    with pytest.raises(InputError, match=message):
        apply(epg, EpgParams(), np.ones((3, 4, 5, len(times))), (times,))


def test_b1_in_percent_is_refused(tissue):
    with pytest.raises(InputError, match="a ratio to the nominal"):
        apply(epg, EpgParams(), tissue[3], TIMES, b1=100 * tissue[1])
