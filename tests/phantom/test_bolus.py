import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.phantom.bolus import Bolus, convolved, residue_function

FINE = np.arange(0.0, 260.0, 0.01)


def drawn(rng, **changed):
    facts = {
        "arrival": rng.uniform(5, 25), "peak": rng.uniform(20, 120), "shape": rng.uniform(2, 5),
        "scale": rng.uniform(0.8, 2.5), "recirculation": rng.uniform(0.2, 0.8), "gap": rng.uniform(5, 12),
        "mixing": rng.uniform(10, 40),
    }  # fmt: skip
    return Bolus(**{**facts, **changed})


def integral(first, second):
    """Causal convolution on the fine grid, written out here with the trapezoidal rule."""
    whole = np.convolve(first, second)[: len(first)]
    return 0.01 * (whole - 0.5 * (first * second[0] + first[0] * second))


def area(curve, times):
    return np.sum(0.5 * (curve[1:] + curve[:-1]) * np.diff(times))


@pytest.mark.parametrize("mtt", [0.4, 1.5, 4.0, 24.0])
def test_exponential_tissue_is_the_convolution_of_the_arterial_curve(rng, mtt):
    bolus, times = drawn(rng, scale=1.5), FINE[:12000]
    expected = integral(bolus.arterial(times), np.exp(-times / mtt))
    np.testing.assert_allclose(bolus.tissue(times, mtt), expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize(("mtt", "dispersion"), [(4.0, 1.5), (3.0, 3.0), (1.2, 2.5)])
def test_dispersed_tissue_is_the_convolution_of_the_dispersed_curve(rng, mtt, dispersion):
    bolus, times = drawn(rng), FINE[:12000]
    spread = integral(bolus.arterial(times), np.exp(-times / dispersion) / dispersion)
    np.testing.assert_allclose(bolus.arterial(times, dispersion), spread, atol=2e-4 * spread.max())
    expected = integral(spread, np.exp(-times / mtt))
    found = bolus.tissue(times, mtt, dispersion=dispersion)
    np.testing.assert_allclose(found, expected, atol=2e-4 * expected.max())


@pytest.mark.parametrize("transit_shape", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("dispersion", [0.0, 2.0])
def test_area_of_the_tissue_is_the_mean_transit_time_times_that_of_the_artery(rng, transit_shape, dispersion):
    bolus, mtt = drawn(rng, mixing=12.0), rng.uniform(2, 6)
    tissue = bolus.tissue(FINE, mtt, transit_shape=transit_shape, dispersion=dispersion)
    artery = bolus.arterial(FINE, dispersion)
    assert area(tissue, FINE) / area(artery, FINE) == pytest.approx(mtt, rel=3e-3)
    assert area(artery, FINE) == pytest.approx(bolus.area, rel=1e-3)


def test_veins_have_the_area_of_the_artery_and_come_later(rng):
    bolus = drawn(rng, mixing=12.0)
    artery, vein = bolus.arterial(FINE), bolus.venous(FINE, 3.0, 4.0)
    assert area(vein, FINE) == pytest.approx(area(artery, FINE), rel=1e-3)
    first_moment = [area(curve * FINE, FINE) / area(curve, FINE) for curve in (artery, vein)]
    assert first_moment[1] - first_moment[0] == pytest.approx(7.0, abs=0.1)


def test_leakage_without_backflow_is_the_integral_and_backflow_empties_it(rng):
    bolus = drawn(rng)
    times = FINE[:9000]
    artery = bolus.arterial(times)
    running = np.concatenate([[0.0], np.cumsum(0.5 * (artery[1:] + artery[:-1])) * 0.01])
    np.testing.assert_allclose(bolus.leaked(times), running, atol=1e-4 * running[-1])
    expected = integral(artery, np.exp(-0.05 * times))
    np.testing.assert_allclose(bolus.leaked(times, 0.05), expected, atol=1e-4 * expected.max())


def test_nothing_arrives_before_the_arrival(rng):
    bolus = drawn(rng)
    early = np.linspace(-5.0, bolus.arrival, 50)
    for curve in (bolus.arterial(early), bolus.tissue(early, 4.0), bolus.tissue(early, 4.0, transit_shape=3.0)):
        assert np.abs(curve).max() < 1e-9


def test_peak_of_the_first_pass_is_the_one_asked_for():
    bolus = Bolus(peak=73.0, recirculation=0.0)
    assert bolus.arterial(FINE).max() == pytest.approx(73.0, rel=1e-5)


def test_equal_rates_convolve_to_the_known_product():
    t = np.linspace(0, 30, 200)
    terms = convolved(((1.0, 0.25),), (1.0, 0.25))
    np.testing.assert_allclose(sum(w * np.exp(-r * t) for w, r in terms), t * np.exp(-t / 4), atol=1e-4)


@pytest.mark.parametrize("transit_shape", [0.5, 1.0, 4.0])
def test_residue_starts_at_one_falls_and_has_the_mean_transit_time_as_area(transit_shape):
    t = np.arange(0.0, 200.0, 0.002)
    residue = residue_function(t, 3.0, transit_shape)
    assert residue[0] == 1.0
    assert (np.diff(residue) <= 0).all()
    assert area(residue, t) == pytest.approx(3.0, rel=1e-3)


def test_impossible_bolus_is_refused():
    with pytest.raises(UsageError, match="positive"):
        Bolus(peak=0.0)
