import numpy as np
import pandas as pd
import pytest

from qsmengine.studies.pontillo2019.cohort import UNITS, draw_cohort
from qsmengine.studies.pontillo2019.published import STRUCTURES, regressions, rows, summary
from qsmengine.studies.pontillo2019.structure import PREDICTORS, betas, correlations, residual_sd


@pytest.fixture(scope="module")
def many():
    return pd.concat([draw_cohort(seed) for seed in range(60)], ignore_index=True)


def test_groups_and_missing_modalities_have_the_published_sizes():
    cohort = draw_cohort(3)
    assert cohort["group"].value_counts().to_dict() == {"HC": 41, "RRMS": 52, "PMS": 25}
    with_diffusion = cohort.dropna(subset=["MD_thalamus"])["group"].value_counts().to_dict()
    assert with_diffusion == {"HC": 38, "RRMS": 38, "PMS": 21}
    assert cohort["MD_thalamus"].isna().equals(cohort["FA_pallidum"].isna())
    assert cohort["chi_thalamus"].notna().all()
    assert cohort.loc[cohort["group"] == "HC", ["lesion_load", "edss", "dmt"]].isna().all(axis=None)
    assert set(UNITS) <= set(cohort.columns)


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another():
    pd.testing.assert_frame_equal(draw_cohort(5), draw_cohort(5))
    assert not draw_cohort(5)["age"].equals(draw_cohort(6)["age"])


def test_means_and_deviations_are_the_printed_ones(many):
    for row in rows("table2"):
        for group in ("HC", "PMS", "RRMS"):
            printed = summary(row, group)
            if printed is None:
                continue
            values = many.loc[many["group"] == group, row["metric"]].dropna()
            error = printed.sd / np.sqrt(len(values))
            assert abs(values.mean() - printed.mean) < 4.5 * error, (row["metric"], group)
            if row["metric"] != "lesion_load":
                assert values.std() == pytest.approx(printed.sd, rel=0.08), (row["metric"], group)


def test_scores_and_treatment_follow_table_1(many):
    for group, low, median, high, treated in (
        ("PMS", 3.0, 5.5, 7.5, 22 / 25),
        ("RRMS", 2.0, 3.5, 6.0, 49 / 52),
    ):
        own = many[many["group"] == group]
        assert (own["edss"].min(), own["edss"].max()) == (low, high)
        assert abs(own["edss"].median() - median) <= 0.5
        assert ((own["edss"] * 2) % 1 == 0).all()
        assert (own["treated"] == "yes").mean() == pytest.approx(treated, abs=0.02)


@pytest.mark.parametrize("group", ["RRMS", "PMS"])
def test_a_regression_of_many_finds_the_printed_betas(many, group):
    own = many[many["group"] == group].dropna().copy()
    own["log_ll"] = np.log(own["lesion_load"])
    own["sex"] = (own["sex"] == "F").astype(float)
    x = own[list(PREDICTORS)].to_numpy(float)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for structure in STRUCTURES:
        y = own[f"volume_{structure}"].to_numpy()
        beta = np.linalg.lstsq(z, (y - y.mean()) / y.std(), rcond=None)[0]
        found = dict(zip(PREDICTORS, beta, strict=True))
        for printed in regressions():
            if (printed.group, printed.structure) == (group, structure):
                name = {"DMT": "dmt", "LL": "log_ll"}.get(printed.predictor, printed.predictor)
                assert found[name] == pytest.approx(printed.beta, abs=0.06), (structure, name)


def test_variances_of_the_structure_add_up_to_one():
    assert np.linalg.eigvalsh(correlations()).min() > 0
    for group in ("HC", "RRMS", "PMS"):
        for structure in STRUCTURES:
            b = betas(group, structure)
            explained = b @ correlations() @ b
            assert explained + residual_sd(group, structure) ** 2 == pytest.approx(1)
            assert residual_sd(group, structure) ** 2 >= 0.1 - 1e-9
