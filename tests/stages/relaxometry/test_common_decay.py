"""R2* common to several flip angles."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.common_decay import EstaticsParams, estatics
from tests.stages.relaxometry.spoiled import DOUBLE, SINGLE, Tissue, apply


def test_r2star_is_the_weighted_least_squares_slope_of_all_echoes():
    tissue = Tissue.draw(1)
    signal = tissue.signal(DOUBLE) * np.exp(0.02 * np.random.default_rng(2).normal(size=(9, 10, 11, 4)))
    found = apply(estatics, EstaticsParams(), signal, DOUBLE).r2star
    design = np.array([[1, 0, -0.002], [1, 0, -0.006], [0, 1, -0.0023], [0, 1, -0.007]])
    weight = signal[..., None] * design
    slope = np.linalg.lstsq(weight[4, 5, 6], signal[4, 5, 6] * np.log(signal[4, 5, 6]), rcond=None)[0][2]
    assert found[4, 5, 6] == pytest.approx(max(slope, 0.0), rel=1e-4, abs=1e-3)


def test_a_second_flip_angle_adds_precision():
    shape = (20, 20, 20)
    tissue = Tissue(*(np.full(shape, value) for value in (1.0, 25.0, 1000.0, 1.0)))
    protocol = ((3.0, 3.0, 20.0, 20.0), (0.025,) * 4, (0.003, 0.009, 0.003, 0.009))
    signal = tissue.signal(protocol) + 0.5 * np.random.default_rng(3).normal(size=(*shape, 4))
    found = apply(estatics, EstaticsParams(), signal, protocol)
    alone = np.log(signal[..., 2] / signal[..., 3]) / 0.006
    assert found.r2star.std() < 0.95 * alone.std()
    assert np.median(found.r2star_sd) == pytest.approx(found.r2star.std(), rel=0.04)


def test_one_echo_per_flip_angle_is_refused():
    with pytest.raises(InputError, match="two echoes"):
        apply(estatics, EstaticsParams(), np.ones((3, 4, 5, 2)), SINGLE)


def test_two_echoes_at_one_flip_angle_need_the_noise():
    protocol = ((5.0, 5.0, 20.0), (0.02,) * 3, (0.003, 0.008, 0.003))
    tissue = Tissue.draw(4)
    with pytest.raises(InputError, match="give noise"):
        apply(estatics, EstaticsParams(), tissue.signal(protocol), protocol)
    found = apply(estatics, EstaticsParams(noise=1.0), tissue.signal(protocol), protocol)
    np.testing.assert_allclose(found.r2star, tissue.r2star, rtol=1e-4)
