"""R1 and trains of spin echoes beside those of qmrpy, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.stages.relaxometry.spin_echo import B1_COUNT, B1_RANGE, T2_COUNT, T2_RANGE, train_table
from qsmengine.stages.relaxometry.variable_flip_angle import LinearParams, linear
from tests.stages.relaxometry.spoiled import MANY, SINGLE, Tissue, apply


@pytest.mark.parametrize(("protocol", "noise"), [(SINGLE, 0.05), (MANY, 0.0)], ids=["two", "many"])
def test_the_line_agrees_with_that_of_qmrpy(protocol, noise):
    vfa = pytest.importorskip("qmrpy.models.t1.vfa_t1")
    drawn = Tissue.draw(4, (4, 5, 6))
    tissue = Tissue(drawn.r1, drawn.r2star, drawn.amplitude, np.ones_like(drawn.b1))
    clean = tissue.signal(protocol)
    signal = clean + noise * np.random.default_rng(1).normal(size=clean.shape)
    model = vfa.T1VFA(flip_angle_deg=np.array(protocol[0]), tr_ms=1e3 * protocol[1][0])
    expected = [model.fit_linear(voxel)["t1_ms"] / 1e3 for voxel in signal.reshape(-1, len(protocol[0]))]
    found = apply(linear, LinearParams(r1_max=100, t1_max=100), signal, protocol).t1
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4)


def test_simulated_trains_agree_with_those_of_qmrpy():
    spin_echo = pytest.importorskip("qmrpy.models.t2.epg_t2")
    model = spin_echo.T2EPG(n_te=10, te_ms=11.0, t1_ms=1000.0)
    table = train_table(0.011, 10, 1.0, np.pi / 2, np.pi)
    times, fields = np.geomspace(*T2_RANGE, T2_COUNT), np.linspace(*B1_RANGE, B1_COUNT)
    for i, j in ((37, 20), (56, 36), (68, 60)):
        expected = model.forward(m0=1.0, t2_ms=1e3 * times[i], b1=fields[j])
        np.testing.assert_allclose(table[:, i, j], expected, atol=1e-6)
