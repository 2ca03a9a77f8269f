import numpy as np
import pandas as pd
import pytest

from qsmengine.errors import InputError
from qsmengine.stats.models.mixed import fit_mixed
from tests.stats.models.published import sleepstudy


def test_sleepstudy_with_random_slopes_is_that_of_lme4():
    # lme4's documentation: lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
    fit = fit_mixed(*sleepstudy(), slopes=["days"])
    intercept, days = fit.fixed
    assert (intercept.b.value, intercept.se) == pytest.approx((251.405, 6.825), abs=2e-3)
    assert (days.b.value, days.se, days.z) == pytest.approx((10.467, 1.546, 6.771), abs=2e-3)
    assert fit.random_sd == pytest.approx({"intercept": 24.741, "days": 5.922}, rel=2e-3)
    assert fit.residual_sd == pytest.approx(25.592, rel=1e-3)
    assert -2 * fit.log_likelihood == pytest.approx(1743.6, abs=0.06)
    assert (fit.n, fit.n_units, fit.converged) == (180, 18, True)


def test_sleepstudy_with_random_intercepts_is_that_of_lme4():
    fit = fit_mixed(*sleepstudy())
    assert (fit.fixed[0].b.value, fit.fixed[0].se) == pytest.approx((251.4051, 9.7467), abs=2e-3)
    assert (fit.fixed[1].b.value, fit.fixed[1].se) == pytest.approx((10.4673, 0.8042), abs=2e-4)
    assert fit.random_sd["intercept"] == pytest.approx(37.12, abs=0.02)
    assert fit.residual_sd == pytest.approx(30.99, abs=0.01)
    assert fit.icc == pytest.approx(37.12**2 / (37.12**2 + 30.99**2), abs=1e-3)


def test_units_of_the_outcome_only_scale_the_fit():
    reaction, days, subject = sleepstudy()
    a, b = fit_mixed(reaction, days, subject), fit_mixed(reaction * 1e-9, days, subject)
    assert b.fixed[1].b.value == pytest.approx(a.fixed[1].b.value * 1e-9, rel=1e-4)
    assert b.fixed[1].p == pytest.approx(a.fixed[1].p, rel=1e-3)


def test_a_site_without_influence_has_no_variance_and_is_reported_as_not_converged():
    rng = np.random.default_rng(0)
    site = pd.Series(np.repeat(["a", "b", "c"], 20))
    noise = rng.normal(size=60)
    for name in "abc":
        noise[site == name] -= noise[site == name].mean()
    fit = fit_mixed(noise, pd.DataFrame({"age": rng.uniform(20, 70, 60)}), site)
    assert fit.random_sd["intercept"] < 0.05
    assert fit.icc < 0.01
    assert not fit.converged


def test_what_cannot_be_fitted_is_refused():
    reaction, days, subject = sleepstudy()
    with pytest.raises(InputError, match="need at least two units and one with two rows"):
        fit_mixed(reaction, days, pd.Series(np.arange(180)))
    with pytest.raises(InputError, match="'dose' is not a numeric fixed effect"):
        fit_mixed(reaction, days, subject, slopes=["dose"])
    with pytest.raises(InputError, match="constant"):
        fit_mixed(np.ones(180), days, subject)
    with pytest.raises(InputError, match="linearly dependent"):
        fit_mixed(reaction, days.assign(twice=2 * days["days"]), subject)
