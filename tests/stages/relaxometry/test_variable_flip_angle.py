"""R1 and amplitude from several flip angles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.common_decay import EstaticsParams, estatics
from qsmengine.stages.relaxometry.variable_flip_angle import LinearParams, NonlinearParams, linear, nonlinear
from tests.stages.relaxometry.spoiled import DOUBLE, MANY, SINGLE, VERY_MANY, Tissue, apply

METHODS = ((linear, LinearParams), (nonlinear, NonlinearParams))
both = pytest.mark.parametrize(("method", "params"), METHODS, ids=["linear", "nonlinear"])


def weighted_line(signal, protocol, b1, rounds=3):
    """R1 of one repetition time by S / sin a over S / tan a, weights (sin a / (1 - E1 cos a))^2."""
    angle = b1[..., None] * np.radians(protocol[0])
    x, y, tr = signal / np.tan(angle), signal / np.sin(angle), protocol[1][0]
    weight, slope = np.ones_like(x), None
    for _ in range(rounds):
        mean_x, mean_y = ((weight * v).sum(-1) / weight.sum(-1) for v in (x, y))
        dx, dy = x - mean_x[..., None], y - mean_y[..., None]
        slope = (weight * dx * dy).sum(-1) / (weight * dx * dx).sum(-1)
        weight = (np.sin(angle) / (1 - slope[..., None] * np.cos(angle))) ** 2
    return -np.log(slope) / tr


@both
@pytest.mark.parametrize(
    "protocol", [DOUBLE, SINGLE, MANY, VERY_MANY], ids=["double", "single", "many", "very many"]
)
def test_signals_without_noise_give_r1_and_amplitude(method, params, protocol):
    tissue = Tissue.draw(1)
    result = apply(method, params(), tissue.signal(protocol), protocol, b1=tissue.b1, r2star=tissue.r2star)
    np.testing.assert_allclose(result.r1, tissue.r1, rtol=1e-4)
    np.testing.assert_allclose(result.t1, 1 / tissue.r1, rtol=1e-4)
    np.testing.assert_allclose(result.amplitude, tissue.amplitude, rtol=1e-4)


def test_the_whole_chain_recovers_tissue_from_unlike_repetition_times():
    tissue = Tissue.draw(2)
    signal = tissue.signal(DOUBLE)
    decay = apply(estatics, EstaticsParams(), signal, DOUBLE)
    np.testing.assert_allclose(decay.r2star, tissue.r2star, rtol=1e-4)
    result = apply(linear, LinearParams(), signal, DOUBLE, b1=tissue.b1, r2star=decay.r2star)
    np.testing.assert_allclose(result.r1, tissue.r1, rtol=1e-4)
    np.testing.assert_allclose(result.amplitude, tissue.amplitude, rtol=1e-4)


@both
def test_long_repetition_times_are_exact(method, params):
    tissue = Tissue.draw(3)
    protocol = ((5.0, 25.0), (0.5, 0.5), (0.004, 0.004))
    result = apply(method, params(), tissue.signal(protocol), protocol, b1=tissue.b1, r2star=tissue.r2star)
    np.testing.assert_allclose(result.r1, tissue.r1, rtol=1e-4)


def test_the_line_agrees_with_the_line_of_despot1():
    tissue = Tissue.draw(4)
    noise = np.random.default_rng(5).normal(size=(*tissue.r1.shape, 5))
    for protocol, level, tolerance in ((SINGLE, 0.05, 1e-4), (MANY, 0.0, 1e-4), (MANY, 0.05, 5e-3)):
        signal = tissue.signal(protocol) + level * noise[..., : len(protocol[0])]
        expected = weighted_line(signal, protocol, tissue.b1)
        found = apply(linear, LinearParams(r1_max=100, t1_max=100), signal, protocol, b1=tissue.b1).r1
        np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_the_search_ends_at_the_least_squares_solution():
    tissue = Tissue.draw(6, (3, 3, 3))
    noise = np.random.default_rng(7).normal(size=(3, 3, 3, 5))
    signal = tissue.signal(MANY) + 0.01 * tissue.signal(MANY)[..., :1] * noise
    found = apply(nonlinear, NonlinearParams(steps=20), signal, MANY, b1=tissue.b1)
    for voxel in np.ndindex(3, 3, 3):

        def misfit(p, voxel=voxel):
            one = Tissue(p[0], np.zeros(()), 1000 * p[1], tissue.b1[voxel])
            return (one.signal(MANY) - signal[voxel]) / 10

        best = least_squares(misfit, [1.0, 1.0], x_scale="jac", xtol=1e-12, ftol=1e-12).x
        assert found.r1[voxel] == pytest.approx(best[0], rel=2e-3)
        assert found.amplitude[voxel] == pytest.approx(1000 * best[1], rel=2e-3)


@both
def test_standard_deviations_are_those_of_repeated_measurements(method, params):
    shape = (24, 25, 26)
    tissue = Tissue(*(np.full(shape, value) for value in (1.0, 25.0, 1000.0, 1.05)))
    protocol = ((3.0, 3.0, 20.0, 20.0), (0.025,) * 4, (0.003, 0.009, 0.003, 0.009))
    signal = tissue.signal(protocol) + 0.5 * np.random.default_rng(8).normal(size=(*shape, 4))
    decay = apply(estatics, EstaticsParams(), signal, protocol)
    result = apply(method, params(), signal, protocol, b1=tissue.b1, r2star=decay.r2star)
    for values, deviation in (
        (decay.r2star, decay.r2star_sd),
        (result.r1, result.r1_sd),
        (result.amplitude, result.amplitude_sd),
    ):
        assert np.median(deviation) == pytest.approx(values.std(), rel=0.04)


def test_a_given_noise_scales_the_standard_deviations():
    tissue = Tissue.draw(9)
    signal = tissue.signal(MANY)
    one, two = (apply(linear, LinearParams(noise=noise), signal, MANY, b1=tissue.b1) for noise in (1.0, 2.0))
    np.testing.assert_allclose(two.r1_sd, 2 * one.r1_sd, rtol=1e-5)
    assert (one.r1_sd > 0).all()


def test_noise_of_two_volumes_comes_from_neighbours():
    shape = (20, 20, 20)
    x = np.linspace(-1, 1, 20)[:, None, None] + np.zeros(shape)
    tissue = Tissue(1.0 + 0.3 * x, 0 * x, 1000 + 200 * x, 1 + 0 * x)
    signal = tissue.signal(SINGLE) + 0.5 * np.random.default_rng(10).normal(size=(*shape, 2))
    result = apply(linear, LinearParams(), signal, SINGLE)
    error = result.r1 - tissue.r1
    assert np.median(result.r1_sd) == pytest.approx(error.std(), rel=0.15)


def test_one_percent_of_b1_makes_r1_wrong_by_two():
    tissue = Tissue.draw(11)
    result = apply(linear, LinearParams(), tissue.signal(MANY), MANY, b1=1.01 * tissue.b1)
    np.testing.assert_allclose(result.r1 / 1.01**2, tissue.r1, rtol=2e-3)


def test_voxels_without_signal_mask_or_b1_are_zero():
    tissue = Tissue.draw(12)
    signal, mask, b1 = tissue.signal(MANY), np.ones(tissue.r1.shape, bool), tissue.b1.copy()
    signal[0], mask[1], b1[2], signal[1] = 0.0, False, 0.0, np.nan
    result = apply(linear, LinearParams(), signal, MANY, mask, b1=b1)
    for image in result:
        assert not image[:3].any()
        assert image[3:].all()
        assert np.isfinite(image).all()


def test_the_order_of_the_volumes_does_not_matter():
    tissue, order = Tissue.draw(13), [3, 0, 2, 1]
    signal = tissue.signal(DOUBLE)
    shuffled = tuple(tuple(table[k] for k in order) for table in DOUBLE)
    one = apply(linear, LinearParams(), signal, DOUBLE, b1=tissue.b1, r2star=tissue.r2star)
    other = apply(linear, LinearParams(), signal[..., order], shuffled, b1=tissue.b1, r2star=tissue.r2star)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (((20.0, 20.0), (0.02, 0.02), (0.003, 0.008)), "flip angle 20 degrees; R1 needs two or more"),
        (((20.0, 20.1), (0.02, 0.02), (0.003, 0.003)), "20 to 20.1 degrees"),
        (((0.0, 20.0), (0.02, 0.02), (0.003, 0.003)), "0 degrees is not between"),
        (((5.0, 20.0), (50.0, 50.0), (0.003, 0.003)), "if it is in milliseconds, use 0.05"),
        (((5.0, 20.0), (0.02, 0.02), (0.03, 0.003)), "not before the next pulse"),
        (((5.0, 20.0), (0.02, 0.02), (0.003, 0.008)), "different echo times"),
        (((5.0, 20.0, 20.0), (0.02,) * 3, (0.003,) * 3), "average repetitions"),
        (((5.0, 20.0), (0.02,), (0.003, 0.003)), "every volume needs one of each"),
    ],
)
def test_unusable_protocols_are_refused(protocol, message):
    signal = np.ones((3, 4, 5, len(protocol[0])))
    with pytest.raises(InputError, match=message):
        apply(linear, LinearParams(), signal, protocol)


def test_b1_in_percent_is_refused():
    tissue = Tissue.draw(14)
    with pytest.raises(InputError, match="percent: divide by 100"):
        apply(linear, LinearParams(), tissue.signal(MANY), MANY, b1=100 * tissue.b1)
