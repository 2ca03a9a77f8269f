import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.outliers_influence import variance_inflation_factor

from qsmengine.errors import InputError
from qsmengine.stats.models.ancova import fit_ancova
from qsmengine.stats.models.regression import fit_hierarchical, partial_correlation
from tests.stats.models.published import CARS


def cohort(n=90, seed=3):
    """Unbalanced, age with gaps; diffusion for some only."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "group": pd.Categorical(rng.choice(["RRMS", "PMS", "HC"], n, p=[0.55, 0.15, 0.3])),
            "sex": pd.Categorical(rng.choice(["f", "m"], n, p=[0.7, 0.3])),
            "age": rng.uniform(20, 70, n),
            "lesions": rng.lognormal(2, 1, n),
        }
    )
    frame["md"] = 0.9 + 0.001 * frame["age"] + rng.normal(0, 0.05, n)
    frame["volume"] = 20 - 0.05 * frame["age"] - 0.4 * np.log(frame["lesions"]) - 6 * (frame["md"] - 0.9)
    frame["volume"] += rng.normal(0, 0.8, n) + (frame["group"] == "HC")
    frame.loc[rng.random(n) < 0.25, "md"] = np.nan
    return frame


def test_regression_of_mtcars_is_that_of_r():
    blocks = fit_hierarchical(CARS["mpg"].to_numpy(), [CARS[["wt"]], CARS[["qsec", "am"]]])
    first, second = blocks
    assert (first.r2, first.f, first.df1, first.df2) == pytest.approx((0.7528, 91.38, 1, 30), abs=5e-3)
    assert (second.r2, second.r2_adjusted) == pytest.approx((0.8497, 0.8336), abs=5e-5)
    assert second.f == pytest.approx(52.75, abs=5e-3)
    assert second.p == pytest.approx(1.21e-11, rel=5e-3)
    wt, qsec, am = second.coefficients
    assert [c.b.value for c in (wt, qsec, am)] == pytest.approx([-3.9165, 1.2259, 2.9358], abs=5e-5)
    assert [c.se for c in (wt, qsec, am)] == pytest.approx([0.7112, 0.2887, 1.4109], abs=5e-5)
    assert [c.t for c in (wt, qsec, am)] == pytest.approx([-5.507, 4.247, 2.081], abs=5e-4)
    assert [c.p for c in (wt, qsec, am)] == pytest.approx([6.95e-06, 0.000216, 0.046716], rel=2e-3)
    # anova(lm(mpg ~ wt), lm(mpg ~ wt + qsec + am)): sums of squares 278.32 and 169.29
    assert second.delta_f == pytest.approx(((278.3219 - 169.2859) / 2) / (169.2859 / 28), rel=1e-5)


def test_delta_f_is_the_f_test_of_the_nested_models_and_r2_adds_up():
    frame = cohort().dropna()
    blocks = [frame[["age", "sex"]], frame[["lesions"]], frame[["md", "group"]]]
    fitted = fit_hierarchical(frame["volume"].to_numpy(), blocks)
    formulas = ["age + sex", "age + sex + lesions", "age + sex + lesions + md + group"]
    models = [smf.ols(f"volume ~ {f}", frame).fit() for f in formulas]
    comparisons = anova_lm(*models)
    for block, model in zip(fitted, models, strict=True):
        assert (block.r2, block.f, block.n) == pytest.approx((model.rsquared, model.fvalue, len(frame)))
    for block in fitted:
        identity = (block.delta_r2 / block.delta_df) / ((1 - block.r2) / block.df2)
        assert block.delta_f == pytest.approx(identity, rel=1e-12)
    assert fitted[2].delta_f == pytest.approx(comparisons["F"].iloc[2])
    assert fitted[2].p_delta == pytest.approx(comparisons["Pr(>F)"].iloc[2])
    assert fitted[0].delta_f == pytest.approx(fitted[0].f)
    assert sum(b.delta_r2 for b in fitted) == pytest.approx(fitted[2].r2)


def test_with_one_predictor_more_delta_f_is_its_t_squared():
    frame = cohort().dropna()
    second = fit_hierarchical(frame["volume"].to_numpy(), [frame[["age", "sex"]], frame[["lesions"]]])[1]
    assert second.delta_f == pytest.approx(second.coefficients[-1].t ** 2)
    assert second.p_delta == pytest.approx(second.coefficients[-1].p)


def test_coefficients_betas_and_inflation_equal_statsmodels():
    frame = cohort(seed=9).dropna()
    fitted = fit_hierarchical(frame["volume"].to_numpy(), [frame[["age", "lesions", "md"]]])[0]
    model = smf.ols("volume ~ age + lesions + md", frame).fit()
    standard = frame[["volume", "age", "lesions", "md"]].apply(stats.zscore, ddof=1)
    betas = smf.ols("volume ~ age + lesions + md", standard).fit()
    for i, c in enumerate(fitted.coefficients, start=1):
        assert c.b.value == pytest.approx(model.params.iloc[i])
        assert [c.b.low, c.b.high] == pytest.approx(model.conf_int().iloc[i].to_list())
        assert (c.se, c.t, c.p) == pytest.approx(
            (model.bse.iloc[i], model.tvalues.iloc[i], model.pvalues.iloc[i])
        )
        assert c.beta.value == pytest.approx(betas.params.iloc[i])
        assert c.vif == pytest.approx(variance_inflation_factor(model.model.exog, i))
    checks = {c.name: c for c in fitted.residuals}
    assert checks["shapiro_wilk"].p == pytest.approx(stats.shapiro(model.resid).pvalue, rel=1e-5)
    assert checks["cooks_distance"].statistic == pytest.approx(model.get_influence().cooks_distance[0].max())


def test_partial_correlation_on_unbalanced_data_with_a_missing_modality():
    frame = cohort()
    have = frame.dropna()
    assert 40 < len(have) < len(frame)
    found = partial_correlation(have["md"].to_numpy(), have["volume"].to_numpy(), have[["age", "sex", "group"]])
    model = smf.ols("volume ~ md + age + sex + group", have).fit()
    assert found.n == len(have)
    assert found.t == pytest.approx(model.tvalues["md"])
    assert found.p == pytest.approx(model.pvalues["md"])
    assert found.df == int(model.df_resid)
    precision = np.linalg.inv(
        np.cov(
            np.column_stack(
                [have["md"], have["volume"], have["age"], *(have[c] == v for c, v in
                 (("sex", "m"), ("group", "PMS"), ("group", "RRMS")))]
            ).astype(float),
            rowvar=False,
        )
    )  # fmt: skip
    assert found.r.value == pytest.approx(-precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]))
    assert found.r.low < found.r.value < found.r.high


def test_partial_correlation_without_covariates_is_pearsons():
    rng = np.random.default_rng(5)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    found = partial_correlation(x, y, pd.DataFrame(index=range(40)))
    expected = stats.pearsonr(x, y)
    interval = expected.confidence_interval()
    assert (found.r.value, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.r.low, found.r.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("kind", ["II", "III"])
def test_sums_of_squares_of_unbalanced_groups_equal_statsmodels(kind):
    frame = cohort(seed=12).dropna()
    columns = frame[["group", "sex", "age"]]
    found = fit_ancova(frame["volume"].to_numpy(), columns, "group", [("group", "sex")], sum_of_squares=kind)
    frame["age"] -= frame["age"].mean()
    if kind == "II":
        formula = "volume ~ group + sex + age + group:sex"
    else:
        formula = "volume ~ C(group, Sum) + C(sex, Sum) + age + C(group, Sum):C(sex, Sum)"
    model = smf.ols(formula, frame).fit()
    table = anova_lm(model, typ={"II": 2, "III": 3}[kind])
    named = {name.replace("C(", "").split(",")[0] if ":" not in name else "group:sex": i
             for i, name in enumerate(table.index)}  # fmt: skip
    assert list(found.terms) == ["group", "sex", "age", "group:sex"]
    for name, effect in found.terms.items():
        row = table.iloc[named[name]]
        assert effect.sum_of_squares == pytest.approx(row["sum_sq"], rel=1e-7)
        assert effect.f == pytest.approx(row["F"], rel=1e-7)
        assert effect.p == pytest.approx(row["PR(>F)"], rel=1e-7)


def test_without_interactions_both_types_agree():
    frame = cohort(seed=14)
    columns = frame[["group", "sex", "age"]]
    y = frame["volume"].to_numpy()
    two, three = (fit_ancova(y, columns, "group", sum_of_squares=kind) for kind in ("II", "III"))
    for name in ("group", "sex", "age"):
        assert two.terms[name].f == pytest.approx(three.terms[name].f)


def test_what_cannot_be_fitted_is_refused():
    frame = cohort().dropna()
    y = frame["volume"].to_numpy()
    with pytest.raises(InputError, match="linearly dependent"):
        fit_hierarchical(y, [frame[["age"]].assign(twice=2 * frame["age"])])
    with pytest.raises(InputError, match="'age' is constant"):
        fit_hierarchical(y, [frame[["age"]] * 0])
    with pytest.raises(InputError, match="4 participants are too few for 2 predictors: need at least 5"):
        fit_hierarchical(y[:4], [frame[["age", "lesions"]].iloc[:4]])
    with pytest.raises(InputError, match="outcome is constant"):
        fit_hierarchical(y * 0 + 3, [frame[["age"]]])
    with pytest.raises(InputError, match="determined by the covariates"):
        partial_correlation(frame["age"].to_numpy(), y, frame[["age"]])
    other = frame[frame["group"] != "PMS"].assign(same=lambda f: f["group"].astype(str).astype("category"))
    with pytest.raises(InputError, match="empty cell"):
        fit_ancova(other["volume"].to_numpy(), other[["group", "same"]], "group")
    with pytest.raises(InputError, match="outcome is constant"):
        fit_ancova(0 * y + 0.1, frame[["group"]], "group")
    with pytest.raises(InputError, match="fits the outcome exactly"):
        fit_ancova(3 * frame["age"].to_numpy() + (frame["sex"] == "m"), frame[["age", "sex"]], "sex")
    with pytest.raises(InputError, match="interaction of 'nobody'"):
        fit_ancova(y, frame[["group"]], "group", [("group", "nobody")])
    with pytest.raises(InputError, match="'age' is entered twice"):
        fit_hierarchical(y, [frame[["age"]], frame[["sex", "age"]]])
    with pytest.raises(InputError, match="every block needs a predictor"):
        fit_hierarchical(y, [frame[["age"]], frame[[]]])
