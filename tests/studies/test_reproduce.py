from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from qsmengine.cli.main import main
from qsmengine.stats.tables import read_table
from qsmengine.studies.pontillo2019.cells import Fitted, compare_cells
from qsmengine.studies.pontillo2019.cohort import draw_cohort
from qsmengine.studies.pontillo2019.models import fit_study


@pytest.fixture(scope="module")
def fitted():
    return Fitted.of(*fit_study(draw_cohort(11)))


@pytest.fixture(scope="module")
def cells(fitted):
    return compare_cells(fitted).set_index(["table", "row", "column"]).sort_index()


def test_table_2_is_the_ancova_with_the_papers_covariates(fitted, cells):
    cohort = fitted.cohort
    both = smf.ols("chi_thalamus ~ cohort + age + sex", cohort).fit()
    assert cells.loc[("2", "chi_thalamus", "p MS vs HC"), "value"] == pytest.approx(
        both.pvalues["cohort[T.MS]"]
    )
    ms = cohort[cohort["group"] != "HC"].assign(group=lambda f: f["group"].astype(str))
    sub = smf.ols("MD_caudate ~ group + age + sex + disease_duration", ms).fit()
    p = cells.loc[("2", "MD_caudate", "p PMS vs RRMS"), "value"]
    assert p == pytest.approx(sub.pvalues["group[T.RRMS]"])
    bonferroni = cells.loc[("2", "MD_caudate", "p PMS vs RRMS, Bonferroni"), "value"]
    assert bonferroni == pytest.approx(min(1.0, 4 * p))


def test_block_3_holds_the_metrics_with_a_significant_partial_correlation(fitted):
    partial = fitted.tests[fitted.tests["kind"] == "partial_correlation"].set_index("model")
    for group in ("MS", "RRMS", "PMS"):
        for structure in ("thalamus", "caudate", "putamen", "pallidum"):
            names = [f"{m}_{structure}" for m in ("MD", "FA", "chi", "rCBV")]
            kept = {n for n in names if partial.loc[f"partial {group} {n}", "p"] < 0.05}
            own = fitted.coefficients[fitted.coefficients["model"] == f"{group} {structure}"]
            assert {n for n in own["predictor"] if n in names} == kept
            assert own["block"].max() == (3 if kept else 2)


def test_regressions_use_who_has_all_and_equal_statsmodels(fitted, cells):
    cohort = fitted.cohort.copy()
    own = fitted.coefficients[(fitted.coefficients["model"] == "MS thalamus")]
    own = own[own["block"] == own["block"].max()]
    names = [n.replace("[M]", "") for n in own["predictor"]]
    ms = cohort[cohort["group"] != "HC"].dropna(subset=[*names, "volume_thalamus"])
    model = smf.ols("volume_thalamus ~ " + " + ".join(names), ms).fit()
    assert own["n"].iloc[0] == len(ms)
    assert cells.loc[("3", "MS thalamus", "R2"), "value"] == pytest.approx(model.rsquared)
    assert cells.loc[("3", "MS thalamus: LL", "p"), "value"] == pytest.approx(model.pvalues["log_ll"])


def test_every_printed_cell_is_compared_once(cells):
    assert cells.index.is_unique
    counts = cells.groupby("table").size().to_dict()
    assert counts == {"1": 41, "2": 152, "3": 38, "4": 49, "EDSS": 2}


def test_agreement_means_same_side_and_same_sign(cells):
    p = cells[(cells["kind"] == "p") & cells["published"].str.startswith("<")]
    assert (p["agrees"] <= (p["value"] < 0.05)).all()
    estimate = cells[cells["kind"] == "estimate"].dropna(subset=["low"])
    inside = (estimate["low"] <= estimate["published"].astype(float)) & (
        estimate["published"].astype(float) <= estimate["high"]
    )
    assert (inside == estimate["agrees"].astype(bool)).all()


def test_strong_effects_are_recovered_in_most_cohorts():
    shares = []
    for seed in range(2):
        table: Any = compare_cells(Fitted.of(*fit_study(draw_cohort(100 + seed)))).set_index(["row", "column"])
        shares.append(
            [
                table.loc[key, "agrees"]
                for key in (
                    ("volume_thalamus", "p MS vs HC"),
                    ("MD_thalamus", "p MS vs HC"),
                    ("MS thalamus: MD_thalamus", "p"),
                    ("RRMS putamen: LL", "p"),
                    ("PMS putamen: FA_putamen", "p"),
                )
            ]
        )
    assert np.mean(shares) > 0.85


def test_the_command_writes_tables_figures_and_a_page(tmp_path, capsys):
    out = tmp_path / "study"
    assert main(["reproduce", "pontillo2019", str(out), "--seeds", "2", "--seed", "40"]) == 0
    printed = capsys.readouterr().out
    assert "25 p values agree in significance" in printed
    recovery = read_table(out / "recovery.tsv")
    assert set(recovery["n"]) == {"2"}
    assert set(recovery["recovered"].astype(float)) <= {0.0, 0.5, 1.0}
    cohort = pd.read_csv(out / "cohort.tsv", sep="\t", na_values="n/a")
    np.testing.assert_allclose(cohort["age"], draw_cohort(40)["age"], rtol=1e-9)
    page = (out / "index.html").read_text()
    for part in ("Table 4", "volume_thalamus", "figure3.png", "seeds 40 to 41"):
        assert part in page
    assert (out / "figure2.png").stat().st_size > 20_000
    assert main(["reproduce", "pontillo2019", str(out)]) == 2
