import numpy as np
import pytest
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models.checks import levene, normality
from qsmengine.stats.models.power import solve_power
from tests.stats.models.published import CARS, PLANTS


def test_levene_of_plant_growth_is_that_of_r():
    check = levene(list(PLANTS.values()))
    assert (check.statistic, check.p) == pytest.approx((1.1192, 0.3412), abs=5e-5)


def test_levene_around_the_mean_is_an_anova_of_absolute_deviations():
    groups = list(PLANTS.values())
    expected = stats.f_oneway(*(np.abs(g - g.mean()) for g in groups))
    check = levene(groups, "mean")
    assert (check.statistic, check.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_shapiro_of_mtcars_is_that_of_r():
    checks = {c.name: c for c in normality(CARS["mpg"].to_numpy())}
    assert checks["shapiro_wilk"].statistic == pytest.approx(0.94756, abs=5e-6)
    assert checks["shapiro_wilk"].p == pytest.approx(0.1229, abs=5e-5)


def test_lilliefors_holds_its_level_where_kolmogorov_smirnov_rejects_almost_never():
    rng = np.random.default_rng(1)
    p = np.array([[c.p for c in normality(rng.normal(5, 3, 30))[:2]] for _ in range(400)])
    classical, corrected = (p < 0.05).mean(axis=0)
    assert classical < 0.01
    assert 0.02 < corrected < 0.09


def test_statistic_of_lilliefors_is_that_of_kolmogorov_smirnov():
    ks, lilliefors, *_ = normality(np.random.default_rng(2).exponential(1, 50))
    assert ks.statistic == pytest.approx(lilliefors.statistic, abs=1e-6)
    assert lilliefors.p < ks.p
    assert "too large" in ks.note


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(InputError, match="3 values are too few"):
        normality(np.arange(3.0))
    with pytest.raises(InputError, match="constant"):
        normality(np.ones(9))
    with pytest.raises(InputError, match="two groups of two"):
        levene([np.arange(3.0), np.arange(1.0)])


def test_power_is_that_of_the_r_package_pwr():
    # Manual of pwr: t test with d 0.5 and power 0.8; analysis of variance of 4 groups with f 0.28, power 0.8.
    assert solve_power("t", effect=0.5, power=0.8) == pytest.approx(63.76561, abs=1e-4)
    assert solve_power("anova", effect=0.28, power=0.8, groups=4) / 4 == pytest.approx(35.75789, abs=1e-4)


def test_power_of_a_regression_is_the_rate_of_significant_results():
    power = solve_power("f", effect=0.2, n=40, predictors=2, covariates=1)
    rng = np.random.default_rng(6)
    found = 0
    x, design = rng.normal(size=(40, 3)), np.ones((40, 4))
    x -= x.mean(axis=0)
    x = np.linalg.qr(x)[0] * np.sqrt(40)
    design[:, 1:] = x
    for _ in range(1000):
        y = np.sqrt(0.1) * (x[:, 1] + x[:, 2]) + rng.normal(size=40)
        sums = [np.linalg.lstsq(d, y, rcond=None)[1][0] for d in (design[:, :2], design)]
        found += stats.f.sf((sums[0] - sums[1]) / 2 / (sums[1] / 36), 2, 36) < 0.05
    assert found / 1000 == pytest.approx(power, abs=0.04)
    n = solve_power("f", effect=0.2, power=power, predictors=2, covariates=1)
    assert n == pytest.approx(40, abs=1e-4)
    assert solve_power("f", n=40, power=power, predictors=2, covariates=1) == pytest.approx(0.2, abs=1e-6)


def test_power_wants_exactly_one_unknown():
    with pytest.raises(InputError, match="two of effect, n and power"):
        solve_power("t", effect=0.5)
