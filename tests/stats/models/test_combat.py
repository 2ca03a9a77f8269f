import numpy as np
import pandas as pd
import pytest

from qsmengine.errors import InputError
from qsmengine.stats.models.combat import combat


def multisite(n=120, features=40, seed=0):
    rng = np.random.default_rng(seed)
    sites = pd.Series(rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]))
    columns = pd.DataFrame({"age": rng.uniform(20, 70, n), "ms": pd.Categorical(rng.choice(["0", "1"], n))})
    pure = rng.normal(0, 1, (n, features)) + 0.03 * columns["age"].to_numpy()[:, None]
    pure -= 0.8 * (columns["ms"] == "1").to_numpy()[:, None]
    index = sites.map({"a": 0, "b": 1, "c": 2}).to_numpy()
    shift, scale = rng.normal([[2], [0], [-1]], 0.3, (3, features)), rng.uniform(0.5, 2, (3, features))
    return pure, pure * 0 + pure * scale[index] + shift[index], sites, columns


def literal(values, sites, columns):
    """Equations of Johnson 2007 with loops over features and sites, the posterior iterated 500 times."""
    n = len(values)
    names = sorted(set(sites))
    covariates = np.column_stack([columns["age"], columns["ms"] == "1"]).astype(float)
    design = np.column_stack([*[(sites == s).astype(float) for s in names], covariates])
    out = np.empty_like(values)
    z, mean, sigma = np.empty_like(values), np.empty_like(values), np.empty(values.shape[1])
    for v in range(values.shape[1]):
        b = np.linalg.solve(design.T @ design, design.T @ values[:, v])
        alpha = sum((sites == s).sum() / n * b[i] for i, s in enumerate(names))
        mean[:, v] = alpha + covariates @ b[3:]
        sigma[v] = np.sqrt(np.sum((values[:, v] - design @ b) ** 2) / n)
        z[:, v] = (values[:, v] - mean[:, v]) / sigma[v]
    for s in names:
        rows = (sites == s).to_numpy()
        own = z[rows]
        gamma_hat, delta_hat = own.mean(0), own.var(0, ddof=1)
        gamma_bar, tau2 = gamma_hat.mean(), gamma_hat.var(ddof=1)
        v_bar, s2 = delta_hat.mean(), delta_hat.var(ddof=1)
        lam, theta = (v_bar**2 + 2 * s2) / s2, (v_bar**3 + v_bar * s2) / s2
        for v in range(values.shape[1]):
            g, d = gamma_hat[v], delta_hat[v]
            for _ in range(500):
                g = (len(own) * tau2 * gamma_hat[v] + d * gamma_bar) / (len(own) * tau2 + d)
                d = (theta + 0.5 * np.sum((own[:, v] - g) ** 2)) / (len(own) / 2 + lam - 1)
            out[rows, v] = (own[:, v] - g) / np.sqrt(d) * sigma[v] + mean[rows, v]
    return out


def test_it_is_the_published_scheme():
    _, seen, sites, columns = multisite(features=8)
    result = combat(seen, sites, columns)
    np.testing.assert_allclose(result.adjusted, literal(seen, sites, columns), rtol=1e-6, atol=1e-6)
    assert result.sites == ("a", "b", "c")


def test_sites_agree_afterwards_and_the_effects_of_interest_stay():
    pure, seen, sites, columns = multisite()
    values = combat(seen, sites, columns).adjusted
    ms = (columns["ms"] == "1").to_numpy().astype(float)
    design = np.column_stack([np.ones(len(ms)), columns["age"], ms, sites == "b", sites == "c"]).astype(float)
    before, after = (np.linalg.lstsq(design, v, rcond=None)[0] for v in (seen, values))
    assert np.abs(before[3:]).mean() > 1.0
    assert np.abs(after[3:]).mean() < 0.08 * np.abs(before[3:]).mean()
    within = np.linalg.lstsq(design, pure, rcond=None)[0][2].mean()
    assert after[2].mean() == pytest.approx(within, abs=0.3)
    spread = [np.std(values[sites == s] - design[sites == s] @ after, axis=0).mean() for s in "abc"]
    assert max(spread) / min(spread) < 1.1


def test_units_of_a_feature_do_not_matter():
    _, seen, sites, columns = multisite(features=5)
    units = np.array([1, 1e-9, 1e3, 1, 5])
    np.testing.assert_allclose(
        combat(seen * units, sites, columns).adjusted, combat(seen, sites, columns).adjusted * units, rtol=1e-6
    )


def test_without_pooling_every_feature_gets_the_same_mean_and_spread_at_each_site():
    _, seen, sites, columns = multisite(features=1)
    values = combat(seen, sites, columns[[]], empirical_bayes=False).adjusted
    for s in "bc":
        assert values[sites == s].mean() == pytest.approx(values[sites == "a"].mean(), rel=1e-9)
        assert values[sites == s].std(ddof=1) == pytest.approx(values[sites == "a"].std(ddof=1), rel=1e-9)


def test_what_cannot_be_harmonised_is_refused():
    _, seen, sites, columns = multisite(features=3)
    with pytest.raises(InputError, match="only one site"):
        combat(seen, sites * 0 if sites.dtype != object else pd.Series(["a"] * 120), columns)
    with pytest.raises(InputError, match="site z has one participant"):
        combat(seen, sites.where(sites.index != 0, "z"), columns)
    with pytest.raises(InputError, match="linearly dependent"):
        combat(seen, sites, pd.DataFrame({"scanner": sites.astype("category")}))
    with pytest.raises(InputError, match="needs two features"):
        combat(seen[:, :1], sites, columns)
