import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models.ancova import fit_ancova

# Chirps per second of two cricket species against temperature: Walker 1962, Evolution 16:407, as used in
# McDonald, Handbook of Biological Statistics, 3rd ed., analysis of covariance.
EX = [(20.8, 67.9), (20.8, 65.1), (24, 77.3), (24, 78.7), (24, 79.4), (24, 80.4), (26.2, 85.8), (26.2, 86.6)]
EX += [(26.2, 87.5), (26.2, 89.1), (28.4, 98.6), (29, 100.8), (30.4, 99.3), (30.4, 101.7)]
NIV = [
    (17.2, 44.3),
    (18.3, 47.2),
    (18.3, 47.6),
    (18.3, 49.6),
    (18.9, 50.3),
    (18.9, 51.8),
    (20.4, 60),
    (21, 58.5),
]
NIV += [
    (21, 58.9),
    (22.1, 60.7),
    (23.5, 69.8),
    (24.2, 70.9),
    (25.9, 76.2),
    (26.5, 76.1),
    (26.5, 77),
    (26.5, 77.7),
]
NIV += [(28.6, 84.7)]


def test_the_cricket_example_gives_its_published_numbers():
    temperature, pulse = np.array(EX + NIV).T
    species = pd.Categorical(["ex"] * len(EX) + ["niv"] * len(NIV))
    fit = fit_ancova(pulse, pd.DataFrame({"species": species, "temperature": temperature}), "species")
    test = fit.terms["species"]
    assert test.f == pytest.approx(187.3994, abs=5e-5)
    assert test.p == pytest.approx(6.272e-14, rel=1e-4)
    assert (test.df, test.df_residual) == (1, 28)
    assert test.effect.value == pytest.approx(598.0 / (598.0 + 89.35), abs=1e-4)
    contrast = fit.contrasts["niv"]
    assert contrast.value.value == pytest.approx(-10.06529, abs=5e-6)
    assert contrast.se == pytest.approx(0.73526, abs=5e-6)
    assert contrast.t == pytest.approx(-13.689, abs=5e-4)
    at_mean = -7.21091 + 3.60275 * temperature.mean()
    assert fit.adjusted_means["ex"].value.value == pytest.approx(at_mean, abs=2e-4)
    assert fit.adjusted_means["niv"].value.value == pytest.approx(at_mean - 10.06529, abs=2e-4)
    assert fit.n == {"ex": 14, "niv": 17}


def sample(seed=1, n=60):
    rng = np.random.default_rng(seed)
    group = pd.Categorical(rng.choice(["HC", "MS", "CIS"], n), categories=["HC", "MS", "CIS"])
    covariates = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n),
            "weird + name`": rng.normal(5, 2, n),
            "site": rng.choice(["a", "b", "c"], n),
        }
    ).astype({"site": "category"})
    return rng, group, covariates


def fit_groups(y, group, covariates, **more):
    columns = covariates.copy()
    columns.insert(0, "group", pd.Series(group, index=covariates.index))
    return fit_ancova(y, columns, "group", **more)


def normal_equations(y, group, covariates):
    """F, adjusted means with SE and contrasts with SE by hand: dummies, normal equations, two models."""
    dummies = [(group == level).astype(float) for level in ("HC", "MS", "CIS")]
    numeric = [covariates["age"].to_numpy(), covariates["weird + name`"].to_numpy()]
    sites = [(covariates["site"] == s).to_numpy(float) for s in ("b", "c")]
    full = np.column_stack([*dummies, *numeric, *sites])
    reduced = np.column_stack([np.ones(len(y)), *numeric, *sites])

    def ssr(x):
        return float(np.sum((y - x @ np.linalg.solve(x.T @ x, x.T @ y)) ** 2))

    inverse = np.linalg.inv(full.T @ full)
    beta = inverse @ (full.T @ y)
    df = len(y) - full.shape[1]
    variance = ssr(full) / df
    f = (ssr(reduced) - ssr(full)) / 2 / variance
    rest = [numeric[0].mean(), numeric[1].mean(), 1 / 3, 1 / 3]
    rows = np.array([[*np.eye(3)[i], *rest] for i in range(3)])
    differences = rows[1:] - rows[0]
    se = [np.sqrt(np.einsum("ij,jk,ik->i", r, inverse, r) * variance) for r in (rows, differences)]
    return f, df, rows @ beta, se[0], differences @ beta, se[1]


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e6])
def test_three_groups_with_covariates_equal_the_normal_equations_in_any_unit(unit):
    rng, group, covariates = sample()
    y = rng.normal(0, 1, len(group)) + (group == "MS") * 0.8 + 0.03 * covariates["age"].to_numpy()
    f, df, means, means_se, differences, differences_se = normal_equations(y, group, covariates)
    fit = fit_groups(y * unit, group, covariates)
    test = fit.terms["group"]
    assert test.f == pytest.approx(f, rel=1e-9)
    assert test.df_residual == df
    assert test.p == pytest.approx(stats.f.sf(f, 2, df), rel=1e-9)
    assert test.effect.value == pytest.approx(2 * f / (2 * f + df), rel=1e-9)
    for i, level in enumerate(("HC", "MS", "CIS")):
        mean = fit.adjusted_means[level]
        half = stats.t.ppf(0.975, df) * means_se[i] * unit
        assert mean.value.value == pytest.approx(means[i] * unit, rel=1e-9)
        assert mean.se == pytest.approx(means_se[i] * unit, rel=1e-9)
        assert mean.value.low == pytest.approx(means[i] * unit - half, rel=1e-8)
        assert mean.value.high == pytest.approx(means[i] * unit + half, rel=1e-8)
    for i, level in enumerate(("MS", "CIS")):
        contrast = fit.contrasts[level]
        t = differences[i] / differences_se[i]
        assert contrast.value.value == pytest.approx(differences[i] * unit, rel=1e-8)
        assert contrast.t == pytest.approx(t, rel=1e-8)
        assert contrast.p == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8)


def test_without_covariates_it_is_one_way_anova_and_welch_free_t():
    rng, group, _ = sample(7)
    y = rng.normal(3, 1, len(group))
    parts = [y[group == level] for level in ("HC", "MS", "CIS")]
    fit = fit_groups(y, group, pd.DataFrame(index=range(len(y))))
    expected = stats.f_oneway(*parts)
    assert fit.terms["group"].f == pytest.approx(expected.statistic, rel=1e-9)
    assert fit.terms["group"].p == pytest.approx(expected.pvalue, rel=1e-9)
    assert fit.adjusted_means["MS"].value.value == pytest.approx(parts[1].mean(), rel=1e-12)


def test_a_group_effect_is_found_about_as_often_as_promised_under_the_null():
    rng, group, covariates = sample(13, n=40)
    fits = [fit_groups(rng.normal(0, 1, 40), group, covariates[["age"]]) for _ in range(150)]
    p = [fit.terms["group"].p for fit in fits]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_column_name_is_never_evaluated():
    _, group, _ = sample()
    y = np.random.default_rng(0).normal(size=len(group))
    name = "__import__('os').abort()"
    renamed = fit_groups(y, group, pd.DataFrame({name: np.arange(60.0)}))
    plain = fit_groups(y, group, pd.DataFrame({"x": np.arange(60.0)}))
    assert renamed.contrasts == plain.contrasts
    assert renamed.terms[name].f == plain.terms["x"].f


def test_a_column_whose_name_reads_like_an_interaction_is_a_covariate():
    rng, group, covariates = sample(3)
    y = rng.normal(size=len(group))
    other = covariates[["age"]].assign(plain=rng.normal(size=60))
    expected = fit_groups(y, group, other)
    fit = fit_groups(y, group, other.rename(columns={"plain": "group:plain"}))
    assert fit.terms["group"] == expected.terms["group"]
    with pytest.raises(InputError, match="two terms are named 'group:age'"):
        fit_groups(y, group, other.rename(columns={"plain": "group:age"}), interactions=[("group", "age")])


def test_what_cannot_be_fitted_is_refused():
    rng, group, covariates = sample()
    y = rng.normal(size=len(group))
    none = pd.DataFrame(index=range(60))
    with pytest.raises(InputError, match="outcome is constant"):
        fit_groups(np.full(60, 0.1), group, covariates)
    with pytest.raises(InputError, match="only one group"):
        fit_groups(y, pd.Categorical(["HC"] * 60), none)
    with pytest.raises(InputError, match="'age' is constant"):
        fit_groups(y, group, covariates.assign(age=3.0))
    with pytest.raises(InputError, match="linearly dependent"):
        fit_groups(y, group, pd.DataFrame({"site": pd.Categorical(np.asarray(group))}))
    with pytest.raises(InputError, match="fits the outcome exactly"):
        fit_groups((group == "MS") + 0.5 * covariates["age"].to_numpy(), group, covariates)
    few = [int(np.flatnonzero(group == level)[i]) for level in ("HC", "MS", "CIS") for i in (0, 1)]
    small = pd.Categorical(np.asarray(group)[few], categories=["HC", "MS", "CIS"])
    with pytest.raises(InputError, match="6 participants are too few for 5 terms: need at least 7"):
        fit_groups(y[few], small, covariates[["age", "weird + name`"]].iloc[few])
