import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import yaml
from scipy import stats
from statsmodels.stats.multitest import multipletests

from qsmengine.errors import InputError, UsageError
from qsmengine.stats.analysis.description import load_analysis
from qsmengine.stats.analysis.run_models import OUTPUTS, run_analysis
from qsmengine.stats.models.combat import combat
from qsmengine.stats.tables import read_table

GROUPS = {"column": "group", "reference": "HC"}
BASE = {
    "variables": {
        "chi": {"region": "thalamus", "map": "chi", "statistic": "mean"},
        "volume": {"region": "thalamus", "statistic": "volume_mm3"},
        "putamen": {"region": "putamen", "map": "chi", "statistic": "mean"},
    },
    "correction": "none",
}


def run(bids, *models, **more):
    path = bids.parent / "analysis.yaml"
    path.write_text(yaml.safe_dump(BASE | more | {"models": list(models)}))
    return run_analysis(path, bids, bids.parent / "out")


def units(bids, chi="ppm"):
    for path in bids.rglob("*_desc-dgm_stats.tsv"):
        entries = {"chi_mean": {"Units": chi}, "volume_mm3": {"Units": "mm^3"}}
        path.with_suffix(".json").write_text(json.dumps(entries))


def test_every_kind_of_model_from_one_file_to_described_tables(bids, make_cohort):
    people = make_cohort(bids, n=36)
    units(bids)
    only = {"groups": GROUPS | {"levels": ["MS"]}}
    result = run(
        bids,
        {"name": "t", "kind": "student_t", "outcome": "age", **only},
        {"name": "w", "kind": "welch_t", "outcome": ["chi", "volume"], **only},
        {"name": "u", "kind": "mann_whitney", "outcome": "putamen", **only},
        {"name": "c", "kind": "chi_squared", "outcome": "sex", **only},
        {"name": "k", "kind": "checks", "outcome": "chi", "groups": GROUPS},
        {"name": "a", "kind": "ancova", "outcome": "chi", "groups": GROUPS, "covariates": ["age", "sex"]},
        {"name": "p", "kind": "partial_correlation", "outcome": "volume", "with": "chi", "covariates": ["age"]},
        {"name": "h", "kind": "hierarchical", "outcome": "volume", "blocks": [["age", "sex"], ["chi"]]},
        {"name": "m", "kind": "mixed", "outcome": "chi", "fixed": ["age"], "unit": "site"},
        {"name": "n", "kind": "power", "test": "t", "effect": 0.5, "power": 0.8},
        categorical=["site"],
        correction="holm",
    )
    ms, hc = (people[people["group"] == g] for g in ("MS", "HC"))
    tests = result.tests.fillna({"outcome": ""}).set_index(["model", "outcome", "term"]).sort_index()
    assert tests.loc[("t", "age", "MS"), "p"].item() == pytest.approx(
        stats.ttest_ind(ms["age"], hc["age"]).pvalue, rel=1e-8
    )
    welch = stats.ttest_ind(ms["thalamus"], hc["thalamus"], equal_var=False)
    assert tests.loc[("w", "chi", "MS"), "statistic"].item() == pytest.approx(welch.statistic, rel=1e-8)
    expected = multipletests(tests.loc["w", "p"], method="holm")[1]
    assert tests.loc["w", "p_corrected"].to_numpy() == pytest.approx(expected)
    whole = smf.ols("thalamus ~ group + age + sex", people).fit()
    reduced = smf.ols("thalamus ~ age + sex", people).fit()
    assert tests.loc[("a", "chi", "group"), "statistic"].item() == pytest.approx(
        whole.compare_f_test(reduced)[0], rel=1e-7
    )
    assert tests.loc[("a", "chi", "MS"), "estimate"].item() == pytest.approx(
        whole.params["group[T.MS]"] - whole.params["group[T.HC]"], rel=1e-7
    )
    volume = smf.ols("volume ~ age + thalamus", people).fit()
    assert tests.loc[("p", "volume", "chi"), "p"].item() == pytest.approx(volume.pvalues["thalamus"], rel=1e-7)
    assert tests.loc["n", "estimate"].item() == pytest.approx(63.7656, abs=1e-3)
    blocks = result.blocks.set_index("block")
    full = smf.ols("volume ~ age + sex + thalamus", people).fit()
    assert blocks.loc[2, "r2"] == pytest.approx(full.rsquared)
    assert blocks.loc[1, "r2"] + blocks.loc[2, "delta_r2"] == pytest.approx(full.rsquared)
    assert set(result.checks["check"]) >= {"levene", "lilliefors", "kolmogorov_smirnov", "cooks_distance"}
    assert result.variances["component"].tolist() == ["intercept", "residual"]
    out = bids.parent / "out"
    for name in OUTPUTS:
        assert list(json.loads((out / f"{name}.json").read_text())) == list(
            read_table(out / f"{name}.tsv").columns
        )
    wide = json.loads((out / "cohort.json").read_text())
    assert (wide["chi"]["Units"], wide["volume"]["Units"]) == ("ppm", "mm^3")
    assert set(read_table(out / "cohort_long.tsv")["unit"].dropna()) == {"ppm", "mm^3"}


def test_a_missing_modality_shrinks_only_the_models_that_need_it(bids, make_cohort, write_values):
    people = make_cohort(bids, n=30)
    for i in (3, 4, 9):
        write_values(bids, f"sub-{i:02d}", np.nan, 0.1, 9000 + i)
    kinds = [
        {"name": "without", "kind": "hierarchical", "outcome": "volume", "blocks": [["age"]]},
        {"name": "with", "kind": "hierarchical", "outcome": "volume", "blocks": [["age"], ["chi"]]},
    ]
    result = run(bids, *kinds)
    assert result.blocks.set_index(["model", "block"])["n"].to_dict() == {
        ("without", 1): 30,
        ("with", 1): 27,
        ("with", 2): 27,
    }
    reasons = [(r.model, r.participant_id, r.reason) for r in result.excluded.itertuples()]
    assert reasons == [("with", f"sub-{i:02d}", "chi is n/a") for i in (3, 4, 9)]
    assert len(people) == 30


def test_rows_that_a_model_does_not_ask_for_are_listed_too(bids, make_cohort):
    people = make_cohort(bids, n=24)
    where: dict[str, Any] = {"where": {"sex": "F"}} | {"groups": GROUPS | {"levels": ["HC", "MS"]}}
    where["where"] = {"sex": ["F"]}
    result = run(bids, {"name": "t", "kind": "welch_t", "outcome": "chi", **where})
    out = people[(people["sex"] != "F") | (people["group"] == "CIS")]
    assert set(result.excluded["participant_id"]) == set(out["participant_id"])
    both = people[(people["sex"] == "M") & (people["group"] == "CIS")]["participant_id"].iloc[0]
    reason = result.excluded.set_index("participant_id").loc[both, "reason"]
    assert reason == "sex is M; group is CIS"


def test_logarithm_and_harmonisation_make_columns(bids, make_cohort):
    people = make_cohort(bids, n=36)
    plan = {"site": "site", "columns": ["chi", "putamen"], "preserve": ["age"], "empirical_bayes": True}
    kind = {"name": "r", "kind": "partial_correlation", "outcome": "combat_chi", "with": "log_volume"}
    result = run(bids, kind, combat=plan, categorical=["site"], log={"log_volume": {"of": "volume"}})
    harmonised = combat(people[["thalamus", "putamen"]].to_numpy(), people["site"], people[["age"]])
    expected = stats.pearsonr(harmonised.adjusted[:, 0], np.log(people["volume"]))
    assert result.tests["effect"].item() == pytest.approx(expected.statistic, rel=1e-6)


def test_a_covariate_of_decimal_commas_is_refused(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    columns = people[["participant_id", "group", "age", "sex", "site"]].copy()
    columns["age"] = [f"{age:.1f}".replace(".", ",") for age in people["age"]]
    write_participants(bids, columns)
    model = {"name": "a", "kind": "ancova", "outcome": "chi", "groups": GROUPS, "covariates": ["age"]}
    with pytest.raises(InputError, match=r"age: values such as '\d+,0' are text: .* decimal point"):
        run(bids, model)


def test_a_longitudinal_model_uses_every_session(bids, make_cohort, write_values):
    people = make_cohort(bids, n=12)
    rng = np.random.default_rng(2)
    rows = []
    for i, person in enumerate(people.itertuples()):
        next((bids / person.participant_id).rglob("*.tsv")).unlink()
        base = rng.normal(0, 0.02)
        for j, time in enumerate((0.0, 1.0, 2.5)):
            chi = base - 0.01 * time + rng.normal(0, 0.004)
            write_values(bids, person.participant_id, chi, 0.1, 9000 + i, session=f"{j + 1:02d}")
            rows.append((person.participant_id, chi, time))
        sessions = pd.DataFrame({"session_id": ["ses-01", "ses-02", "ses-03"], "years": ["0", "1", "2.5"]})
        path = bids / person.participant_id / f"{person.participant_id}_sessions.tsv"
        sessions.to_csv(path, sep="\t", index=False)
    model = {"name": "m", "kind": "mixed", "outcome": "chi", "fixed": ["years"]}
    result = run(bids, model)
    frame = pd.DataFrame(rows, columns=["who", "chi", "years"])
    expected = smf.mixedlm("I(chi * 100) ~ years", frame, groups="who").fit(reml=True)
    slope = result.coefficients.set_index("predictor").loc["years"]
    assert slope["n"] == 36
    assert slope["b"] == pytest.approx(expected.fe_params["years"] / 100, rel=1e-4)
    with pytest.raises(InputError, match="several sessions; choose one"):
        run(bids, {"name": "r", "kind": "partial_correlation", "outcome": "chi", "with": "volume"})
    one = run(
        bids, {"name": "r", "kind": "partial_correlation", "outcome": "chi", "with": "volume"}, session="ses-02"
    )
    assert one.tests["n"].item() == 12


def test_corrections_go_by_family_and_contrasts_have_their_own(bids, make_cohort):
    make_cohort(bids, n=36)
    shared = {"kind": "ancova", "groups": GROUPS, "covariates": ["age"], "family": "dgm"}
    result = run(
        bids,
        {"name": "one", "outcome": ["chi", "putamen"], **shared},
        {"name": "two", "outcome": "volume", **shared},
        {"name": "alone", "kind": "welch_t", "outcome": "chi", "groups": GROUPS},
        correction="bonferroni",
        families={"alone": "none"},
    )
    tests = result.tests
    main = tests[tests["family"] == "dgm"]
    assert main["p_corrected"].to_numpy() == pytest.approx(np.minimum(1, 3 * main["p"].to_numpy()))
    contrasts = tests[tests["family"] == "dgm/contrasts"]
    assert contrasts["p_corrected"].to_numpy() == pytest.approx(np.minimum(1, 6 * contrasts["p"].to_numpy()))
    alone = tests[tests["family"] == "alone"]
    assert alone["p_corrected"].to_numpy() == pytest.approx(alone["p"].to_numpy())
    assert tests.loc[tests["term"] == "age", "p_corrected"].isna().all()


def test_all_problems_are_reported_at_once_and_nothing_is_written(bids, make_cohort):
    make_cohort(bids, n=12)
    with pytest.raises(InputError) as caught:
        run(
            bids,
            {"name": "a", "kind": "hierarchical", "outcome": "volum", "blocks": [["age"]]},
            {"name": "b", "kind": "student_t", "outcome": "sex", "groups": GROUPS},
            {"name": "c", "kind": "student_t", "outcome": "chi", "groups": GROUPS | {"levels": ["PMS"]}},
        )
    text = str(caught.value)
    assert "no column 'volum' (did you mean 'volume'?)" in text
    assert "'sex' is text, numbers are needed" in text
    assert "group has no group 'PMS'" in text
    assert not (bids.parent / "out").exists()


def test_tables_in_different_units_are_refused(bids, make_cohort):
    make_cohort(bids, n=12)
    units(bids)
    path = next((bids / "sub-05").rglob("*.tsv"))
    path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppb"}}))
    with pytest.raises(InputError, match=r"sub-05.*chi_mean: in ppb, .* has ppm"):
        run(bids, {"name": "r", "kind": "partial_correlation", "outcome": "chi", "with": "volume"})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "a", "kind": "student", "outcome": "chi"}, "models.0"),
        ({"name": "a", "kind": "student_t", "outcome": "chi"}, r"groups: is missing"),
        (
            {"name": "a", "kind": "mixed", "outcome": "chi", "fixed": "age", "slope": "age"},
            "slope: unknown entry",
        ),
        ({"name": "a", "kind": "hierarchical", "outcome": "chi", "blocks": []}, "blocks"),
    ],
)
def test_wrong_entries_are_named(tmp_path, model, message):
    path = tmp_path / "analysis.yaml"
    path.write_text(yaml.safe_dump(BASE | {"models": [model]}))
    with pytest.raises(UsageError, match=message):
        load_analysis(path)


def test_names_and_families_are_checked(tmp_path):
    path = tmp_path / "analysis.yaml"
    model = {"name": "a", "kind": "power", "test": "t", "effect": 0.5, "power": 0.8}
    path.write_text(yaml.safe_dump(BASE | {"models": [model, model]}))
    with pytest.raises(UsageError, match="two models are named 'a'"):
        load_analysis(path)
    path.write_text(yaml.safe_dump(BASE | {"models": [model], "families": {"b": "holm"}}))
    with pytest.raises(UsageError, match="no model belongs to 'b'"):
        load_analysis(path)


def test_the_command_takes_an_analysis_file(bids, make_cohort, capsys):
    from qsmengine.cli.main import main

    make_cohort(bids, n=12)
    path = bids.parent / "analysis.yaml"
    model = {"name": "w", "kind": "welch_t", "outcome": "chi", "groups": GROUPS}
    path.write_text(yaml.safe_dump(BASE | {"models": [model]}))
    out = bids.parent / "out"
    assert main(["group", "--design", str(path), str(bids), str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "tests.tsv")
    assert main(["group", "--design", str(path), str(bids), str(out)]) == 2


def test_numbers_name_groups_and_rows(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["group"] = people["group"].map({"HC": 0, "MS": 1, "CIS": 2})
    write_participants(bids, people[["participant_id", "group", "age", "sex", "site"]])
    model = {"name": "t", "kind": "student_t", "outcome": "chi", "groups": {"column": "group", "reference": 0}}
    result = run(bids, model | {"where": {"site": [1, 2.0]}})
    kept = people[people["site"].isin(["1", "2"])]
    assert result.tests["n"].tolist() == [kept["group"].isin([0, level]).sum() for level in (1, 2)]
    with pytest.raises(InputError, match="where: site has no value '4'; its values are 1, 2, 3"):
        run(bids, model | {"where": {"site": [1, 4]}})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"kind": "partial_correlation", "outcome": "chi", "with": ["age", "chi"]},
            "'chi' is the outcome",
        ),
        (
            {"kind": "hierarchical", "outcome": "chi", "blocks": [["age"], ["chi"]]},
            "'chi' is the outcome",
        ),
        ({"kind": "hierarchical", "outcome": "chi", "blocks": [["age"], ["twice"]]}, "outcome exactly"),
        ({"kind": "chi_squared", "outcome": "age", "groups": GROUPS}, "16 rows: the test needs categories"),
        ({"kind": "chi_squared", "outcome": "sex", "groups": GROUPS}, "'NA' usually stands for a missing one"),
        ({"kind": "power", "test": "t", "effect": 0, "power": 0.8}, "no solution"),
    ],
)
def test_models_that_say_nothing_are_refused(bids, make_cohort, write_participants, model, message):
    people = make_cohort(bids)
    people["twice"] = [f"{2 * value:.17g}" for value in people["thalamus"]]
    people["sex"] = people["sex"].mask(people.index < 4, "NA")
    write_participants(bids, people[["participant_id", "group", "age", "sex", "twice"]])
    with pytest.raises(InputError, match=message):
        run(bids, {"name": "a"} | model)


def test_a_power_in_per_cent_is_refused(bids, make_cohort):
    make_cohort(bids)
    with pytest.raises(UsageError, match=r"power: Input should be less than 1"):
        run(bids, {"name": "a", "kind": "power", "test": "t", "effect": 0.5, "power": 80})
