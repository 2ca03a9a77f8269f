import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from statsmodels.stats.multitest import multipletests

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.stats.ancova import fit_ancova
from qsmengine.stats.collect import collect_tables
from qsmengine.stats.design import load_design
from qsmengine.stats.groups import run_group_analysis
from qsmengine.stats.labels import load_label_table
from qsmengine.stats.region_files import write_region_table
from qsmengine.stats.regions import region_table
from qsmengine.stats.tables import read_table

DESIGN = {
    "outcome": {"region": "thalamus", "map": "chi", "statistic": "mean"},
    "groups": {"column": "group", "reference": "HC"},
    "covariates": ["age", "sex"],
    "correction": "holm",
}


def design_file(folder, **changes):
    path = folder / "design.yaml"
    path.write_text(yaml.safe_dump(DESIGN | changes))
    return path


@pytest.fixture
def bids(tmp_path: Path):
    folder = tmp_path / "derivatives"
    folder.mkdir()
    return folder


def run(bids, **changes):
    return run_group_analysis(design_file(bids.parent, **changes), bids, bids.parent / "out")


def participants(people):
    return people[["participant_id", "group", "age", "sex", "site"]]


def reasons(result):
    return {row.participant_id: row.reason for row in result.excluded.itertuples()}


def test_the_table_holds_the_fit_of_the_values_on_disk(bids, make_cohort):
    people = make_cohort(bids)
    result = run(bids)
    group = pd.Categorical(people["group"], categories=["HC", "CIS", "MS"])
    fit = fit_ancova(people["thalamus"].to_numpy(), group, people[["age", "sex"]].astype({"sex": "category"}))
    table = result.ancova.set_index("group")
    assert list(table.index) == ["HC", "CIS", "MS"]
    assert table["f"].unique() == pytest.approx([fit.f], rel=1e-9)
    assert table.loc["MS", "difference"] == pytest.approx(fit.contrasts["MS"].value, rel=1e-9)
    assert table.loc["CIS", "p_difference"] == pytest.approx(fit.contrasts["CIS"].p, rel=1e-8)
    assert table.loc["HC", "adjusted_mean"] == pytest.approx(fit.adjusted_means["HC"].value, rel=1e-9)
    assert np.isnan(table.loc["HC", "difference"])
    assert table["n"].tolist() == [8, 8, 8]
    assert result.excluded.empty


def test_files_written_read_back_with_a_dictionary_for_every_column(bids, make_cohort):
    make_cohort(bids)
    result = run(bids)
    out = bids.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "design.json",
        "excluded.json",
        "excluded.tsv",
        "group_ancova.json",
        "group_ancova.tsv",
    ]
    read = read_table(out / "group_ancova.tsv")
    np.testing.assert_allclose(read["p"].astype(float), result.ancova["p"], rtol=1e-9)
    assert list(json.loads((out / "group_ancova.json").read_text())) == list(read.columns)
    assert json.loads((out / "design.json").read_text())["correction"] == "holm"
    assert read_table(out / "excluded.tsv").columns[0] == "participant_id"


def test_the_same_input_gives_the_same_bytes(bids, make_cohort):
    make_cohort(bids)
    run(bids)
    first = (bids.parent / "out" / "group_ancova.tsv").read_bytes()
    run(bids)
    assert (bids.parent / "out" / "group_ancova.tsv").read_bytes() == first


@pytest.mark.parametrize("method", ["bonferroni", "holm", "fdr_bh"])
def test_p_values_are_corrected_over_outcomes_and_over_contrasts(bids, method, make_cohort):
    make_cohort(bids)
    outcome = [
        {"region": ["thalamus", "putamen"], "map": "chi", "statistic": "mean"},
        {"region": "thalamus", "statistic": "volume_mm3"},
    ]
    table = run(bids, outcome=outcome, correction=method).ancova
    first = table.drop_duplicates(["region", "map"])
    assert len(first) == 3
    assert first["p_corrected"].to_numpy() == pytest.approx(multipletests(first["p"], method=method)[1])
    contrasts = table[table["p_difference"].notna()]
    assert len(contrasts) == 6
    expected = multipletests(contrasts["p_difference"], method=method)[1]
    assert contrasts["p_difference_corrected"].to_numpy() == pytest.approx(expected)
    assert table.groupby(["region", "statistic"])["p_corrected"].nunique().tolist() == [1, 1, 1]


def test_wildcards_take_what_the_tables_hold_and_record_what_nobody_has(bids, make_cohort):
    make_cohort(bids)
    result = run(bids, outcome={"region": "*", "map": "*", "statistic": ["mean", "volume_mm3"]})
    cells = result.ancova.drop_duplicates(["region", "hemisphere", "map", "statistic"])
    found = {(r.region, r.hemisphere, r.statistic) for r in cells.itertuples()}
    assert found == {
        ("thalamus", "bilateral", "mean"),
        ("putamen", "bilateral", "mean"),
        ("thalamus", "bilateral", "volume_mm3"),
        ("putamen", "bilateral", "volume_mm3"),
    }
    assert result.excluded["region"].tolist() == ["brainstem", "brainstem"]
    assert set(result.excluded["reason"]) == {"no participant has a value"}


def test_every_participant_left_out_is_listed_with_a_reason(
    bids, make_cohort, write_participants, write_values
):
    people = make_cohort(bids, n=30)
    people["age"] = people["age"].astype(object)
    people.loc[3, "age"] = "n/a"
    people.loc[4, ["group", "sex"]] = "n/a"
    people.loc[5, "group"] = "OTHER"
    next((bids / "sub-07").rglob("*.tsv")).unlink()
    write_values(bids, "sub-08", np.nan, 0.1, 9000)
    write_participants(bids, participants(people).drop(index=9))
    result = run(bids, groups={"column": "group", "reference": "HC", "levels": ["HC", "MS", "CIS"]})
    assert reasons(result) == {
        "sub-03": "age is n/a",
        "sub-04": "group is n/a; sex is n/a",
        "sub-05": "group is OTHER, not compared",
        "sub-07": "no region table",
        "sub-08": "value is n/a",
        "sub-09": "not in participants.tsv",
    }
    assert result.ancova["n_total"].unique().tolist() == [24]
    written = read_table(bids.parent / "out" / "excluded.tsv").set_index("participant_id")
    assert written.loc["sub-08", "region"] == "thalamus"
    assert pd.isna(written.loc["sub-03", "region"])


def test_a_coded_covariate_is_a_factor_only_when_the_design_says_so(bids, make_cohort):
    people = make_cohort(bids)
    slope = run(bids, covariates=["site"]).ancova["df_residual"].iloc[0]
    factor = run(bids, covariates=["site"], categorical=["site"]).ancova
    assert (slope, factor["df_residual"].iloc[0]) == (20, 19)
    group = pd.Categorical(people["group"], categories=["HC", "CIS", "MS"])
    fit = fit_ancova(people["thalamus"].to_numpy(), group, people[["site"]].astype("category"))
    assert factor["f"].iloc[0] == pytest.approx(fit.f, rel=1e-8)


def test_a_session_is_chosen_and_several_are_never_picked_from_silently(bids, make_cohort, write_values):
    people = make_cohort(bids)
    for person in people.itertuples():
        next((bids / person.participant_id).rglob("*.tsv")).unlink()
        for session, shift in (("1", 0.0), ("2", 5.0)):
            write_values(bids, person.participant_id, person.thalamus + shift, 0.1, 9000, session)
    with pytest.raises(InputError, match=r"sub-00 +has 2 tables, choose a session: .*ses-1.*ses-2"):
        run(bids)
    one, two = (run(bids, session=session).ancova for session in ("1", "ses-2"))
    np.testing.assert_allclose(two["adjusted_mean"], one["adjusted_mean"] + 5.0, rtol=1e-8)
    np.testing.assert_allclose(two["f"], one["f"], rtol=1e-6)
    with pytest.raises(InputError, match="no table of session '3'"):
        run(bids, session="3")


def test_all_problems_come_in_one_table_and_nothing_is_written(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["sex"] = "F"
    people["age"] = people["age"].astype(object)
    people.loc[2, "age"] = "34y"
    write_participants(bids, participants(people))
    with pytest.raises(InputError) as caught:
        run(bids, covariates=["age", "sex", "Grup"], groups={"column": "group", "reference": "hc"})
    text = str(caught.value)
    for line in (
        r"age +mixes numbers and text: '34y' of sub-02",
        r"sex +the column is constant \('F'\)",
        r"Grup +participants.tsv has no column 'Grup' \(did you mean 'group'\?\)",
        r"group +has no group 'hc' \(did you mean 'HC'\?\)",
    ):
        assert re.search(line, text), text
    assert "design.yaml" in text
    assert not (bids.parent / "out").exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"outcome": {"region": "talamus", "map": "chi", "statistic": "mean"}}, "did you mean 'thalamus'"),
        ({"outcome": {"region": "thalamus", "map": "chi_", "statistic": "mean"}}, "did you mean 'chi'"),
        ({"outcome": {"region": "thalamus", "map": "chi", "statistic": "meen"}}, "did you mean 'mean'"),
        (
            {"outcome": {"region": "thalamus", "statistic": "mean"}},
            "no column of the tables is region thalamus",
        ),
        (
            {"outcome": {"region": "brainstem", "map": "chi", "statistic": "mean"}},
            "every group needs two participants: HC has 0",
        ),
        ({"covariates": ["age", "age"]}, "age +stands in the design twice"),
        ({"groups": {"column": "group", "reference": "HC", "levels": ["HC"]}}, "only one group: HC"),
        (
            {"groups": {"column": "group", "reference": "HC", "levels": ["MS", "CIS"]}},
            "leave out the reference",
        ),
    ],
)
def test_names_that_the_data_do_not_have_are_problems(bids, changes, what, make_cohort):
    make_cohort(bids)
    with pytest.raises(InputError, match=what):
        run(bids, **changes)


def test_one_group_and_too_few_participants_are_refused(bids, make_cohort):
    make_cohort(bids, groups=("HC",))
    with pytest.raises(InputError, match="only one group: HC"):
        run(bids)
    make_cohort(bids, n=24, groups=("HC", "MS"))
    for folder in sorted(bids.glob("sub-*"))[5:]:
        next(folder.rglob("*.tsv")).unlink()
    with pytest.raises(InputError, match="5 participants are too few for 4 terms"):
        run(bids)
    next((bids / "sub-03").rglob("*.tsv")).unlink()
    with pytest.raises(
        InputError, match=r"thalamus bilateral chi mean +every group needs two participants: MS has 1"
    ):
        run(bids)


def test_a_participant_twice_is_refused_with_and_without_prefix(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people.loc[1, "participant_id"] = "00"
    write_participants(bids, participants(people))
    with pytest.raises(InputError, match=r"participants.tsv: participant_id: sub-00 more than once"):
        run(bids)


def test_collected_tables_are_tidy_and_joined(bids, make_cohort):
    people = make_cohort(bids)
    tidy = collect_tables(bids)
    assert len(tidy) == 24 * 4 * 4
    cell = tidy.query(
        "region == 'thalamus' and hemisphere == 'bilateral' and map == 'chi' and statistic == 'mean'"
    )
    np.testing.assert_allclose(cell["value"], people["thalamus"], rtol=1e-12)
    assert cell["group"].tolist() == people["group"].tolist()
    assert tidy.query("statistic == 'volume_mm3'")["map"].unique().tolist() == [""]


def test_a_written_region_table_is_collected_value_by_value(bids, make_cohort):
    make_cohort(bids, n=6)
    path = next((bids / "sub-03").rglob("*.tsv"))
    rng = np.random.default_rng(8)
    grid = Grid.from_voxel_size((12, 12, 12), (1.0, 1.0, 2.0))
    labels = rng.choice([0, 10, 49, 16], size=grid.shape)
    table = region_table(labels, load_label_table("fsl-first"), {"r2_star": rng.random(grid.shape)}, grid)
    write_region_table(table, path, units={"r2_star": "1/s"})
    tidy = collect_tables(bids).query("participant_id == 'sub-03'")
    found = tidy.set_index(["region", "hemisphere", "map", "statistic"])["value"]
    source = table.set_index(["region", "hemisphere"])
    assert (
        found["thalamus", "bilateral", "r2_star", "n_valid"]
        == source.loc[("thalamus", "bilateral"), "n_voxels"]
    )
    for statistic in ("mean", "sd", "p95"):
        expected = source.loc[("brainstem", "midline"), f"r2_star_{statistic}"]
        assert found["brainstem", "midline", "r2_star", statistic] == pytest.approx(expected, rel=1e-9)
    assert found["thalamus", "left", "", "volume_mm3"] == source.loc[("thalamus", "left"), "volume_mm3"]
    assert np.isnan(found["putamen", "bilateral", "", "volume_mm3"])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("thalamus\tleft", "thalamus\tbilateral", "thalamus bilateral stands there twice"),
        ("\t8000\t", "\tmany\t", "n_voxels: 'many' is not a number"),
        ("region\t", "structure\t", "region: no such column"),
        ("chi_mean", "chi_average", "column 'chi_average' is not MAP_STATISTIC"),
        ("chi_mean", "chi_n_valid", "column 'chi_n_valid' stands there twice"),
    ],
)
def test_a_broken_region_table_is_refused_by_name(bids, old, new, what, make_cohort):
    make_cohort(bids)
    path = next((bids / "sub-03").rglob("*.tsv"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=what):
        collect_tables(bids)


def test_a_folder_without_tables_or_participants_is_refused(bids, make_cohort):
    with pytest.raises(InputError, match=r"desc-dgm_stats\.tsv below it"):
        collect_tables(bids)
    make_cohort(bids)
    (bids / "participants.tsv").unlink()
    with pytest.raises(InputError, match=r"participants\.tsv: no such file"):
        collect_tables(bids)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"covariate": ["age"]}, "unknown entry 'covariate' \\(did you mean 'covariates'\\?\\) in design"),
        ({"groups": {"colum": "group", "column": "g", "reference": "HC"}}, "did you mean 'column'.* in groups"),
        ({"outcome": [{"region": "a", "stat": "mean"}]}, "outcome.statistic is missing; unknown entry 'stat'"),
        ({"correction": "bonferoni"}, "correction: Input should be 'bonferroni'"),
        ({"categorical": ["sites"]}, "'sites' is not a covariate"),
        ({"outcome": []}, "outcome: need at least one"),
    ],
)
def test_a_wrong_design_is_a_usage_error_that_names_the_entry(tmp_path, changes, what):
    with pytest.raises(UsageError, match=what):
        load_design(design_file(tmp_path, **changes))


def test_a_design_that_is_no_yaml_mapping_is_refused(tmp_path):
    path = tmp_path / "design.yaml"
    for text, error in (
        ("- a\n", UsageError),
        ("a: [", InputError),
        ("!!python/object:os.system {}", InputError),
    ):
        path.write_text(text)
        with pytest.raises(error, match=r"design.yaml"):
            load_design(path)


def test_a_design_is_frozen_and_takes_numbers_as_names(tmp_path):
    design = load_design(design_file(tmp_path, groups={"column": "code", "reference": 0, "levels": [0, 1]}))
    assert (design.groups.reference, design.groups.levels) == ("0", ("0", "1"))
    with pytest.raises(ValueError, match="frozen"):
        design.correction = "none"
