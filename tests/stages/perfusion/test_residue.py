"""Tables of curves are the convolution of the artery with the residue function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaincc

from qsmengine.stages.perfusion.residue import EXPONENTIAL, Mixture, Residue, curve_table
from tests.stages.perfusion.curves import STEP, TIMES, artery, exponential, gamma_transit

SHAPES = [EXPONENTIAL, Residue(0.0, 0.5), Residue(0.0, 2.5), Residue(0.3, 1.0), Residue(0.6, 30.0)]


@pytest.mark.parametrize("residue", SHAPES)
def test_the_mean_transit_time_is_the_area_under_the_residue_function(residue: Residue) -> None:
    times = np.linspace(0.0, 150.0, 30_001)
    for mean in (2.0, 7.0):
        left = residue.left(times, mean)
        after = np.maximum(times - residue.plateau * mean, 0) * residue.shape / ((1 - residue.plateau) * mean)
        np.testing.assert_allclose(left, gammaincc(residue.shape, after), atol=1e-12)
        assert np.trapezoid(left, times) == pytest.approx(mean, rel=1e-4)


def test_the_residue_function_of_a_mixture_is_the_mean_of_its_parts() -> None:
    times, parts = np.linspace(0.0, 20.0, 201), (EXPONENTIAL, Residue(0.0, 8.0))
    expected = np.mean([part.left(times, 5.0) for part in parts], axis=0)
    np.testing.assert_allclose(Mixture(*parts).left(times, 5.0), expected, atol=1e-15)


@pytest.mark.parametrize("residue", [*SHAPES, Mixture(EXPONENTIAL, Residue(0.0, 8.0))])
def test_integrals_are_those_of_the_residue_function(residue: Residue | Mixture) -> None:
    times = np.linspace(0.0, 30.0, 60_001)
    once, twice = residue.integrals(times, 5.0)
    middle = 0.5 * (times[1:] + times[:-1])
    sums = np.concatenate([[0.0], np.cumsum(residue.left(middle, 5.0) * np.diff(times))])
    np.testing.assert_allclose(once, sums, atol=1e-5)
    middle_sums = 0.5 * (sums[1:] + sums[:-1])
    np.testing.assert_allclose(twice[1:], np.cumsum(middle_sums * np.diff(times)), atol=1e-3)


def test_tables_hold_curves_in_closed_form() -> None:
    aif = artery(TIMES)
    for residue in (EXPONENTIAL, Residue(0.0, 2.5)):
        table = curve_table(aif, residue, "trapezoid", (1.5, 12.0), (-2.0, 2.0))
        for row in (2, 7):
            mean = STEP * float(np.exp(table.lowest + row * table.width))
            shape = residue.shape
            expected = exponential(TIMES, mean) if shape == 1 else gamma_transit(TIMES, mean, shape)
            found = STEP * table.nodes[row, table.margin : table.margin + TIMES.size, 0]
            assert np.abs(found - expected).max() <= 0.01 * expected.max()


@pytest.mark.parametrize("rule", ["trapezoid", "rectangle"])
def test_derivatives_of_tables_are_those_of_their_values(rule) -> None:
    aif, residue = artery(TIMES), Residue(0.0, 1.0) if rule == "rectangle" else Residue(0.2, 1.5)
    ends = (2.0, 2.0 * np.exp(0.02))
    table = curve_table(aif, residue, rule, ends, (-2.0, 2.0))
    assert len(table.nodes) == 2
    rise = table.nodes[1, :, 0] - table.nodes[0, :, 0]
    scale = np.abs(rise).max()
    np.testing.assert_allclose(table.nodes[:, :, 2].mean(axis=0), rise, atol=1e-2 * scale)
    rise = table.nodes[1, :, 1] - table.nodes[0, :, 1]
    np.testing.assert_allclose(table.nodes[:, :, 3].mean(axis=0), rise, atol=1e-2 * np.abs(rise).max())
    values, slopes = table.nodes[0, :, 0], table.nodes[0, :, 1]
    simpson = (slopes[2:] + 4 * slopes[1:-1] + slopes[:-2]) / 3
    np.testing.assert_allclose(simpson, values[2:] - values[:-2], atol=0.02 * values.max())
