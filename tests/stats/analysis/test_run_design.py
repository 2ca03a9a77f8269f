import json
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from qsmengine.errors import InputError
from qsmengine.stats.models.ancova import fit_ancova
from qsmengine.stats.tables import read_table
from tests.stats.designs import participants, run_design


def fitted(people, *covariates):
    """Fit the thalamus; text is a factor."""
    columns = people[["group", *covariates]].copy()
    for name in columns.columns.difference(["age"]):
        columns[name] = columns[name].astype("category")
    columns["group"] = columns["group"].cat.reorder_categories(["HC", "CIS", "MS"])
    return fit_ancova(people["thalamus"].to_numpy(), columns, "group")


def reasons(result):
    return {row.participant_id: row.reason for row in result.excluded.itertuples()}


def test_the_table_holds_the_fit_of_the_values_on_disk(bids, make_cohort):
    people = make_cohort(bids)
    result = run_design(bids)
    fit = fitted(people, "age", "sex")
    table = result.ancova.set_index("group")
    assert list(table.index) == ["HC", "CIS", "MS"]
    assert table["f"].unique() == pytest.approx([fit.terms["group"].f], rel=1e-9)
    assert table.loc["MS", "difference"] == pytest.approx(fit.contrasts["MS"].value.value, rel=1e-9)
    assert table.loc["CIS", "p_difference"] == pytest.approx(fit.contrasts["CIS"].p, rel=1e-8)
    assert table.loc["HC", "adjusted_mean"] == pytest.approx(fit.adjusted_means["HC"].value.value, rel=1e-9)
    assert np.isnan(table.loc["HC", "difference"])
    assert table["n"].tolist() == [8, 8, 8]
    assert result.excluded.empty


def test_files_written_read_back_with_a_dictionary_for_every_column(bids, make_cohort):
    make_cohort(bids)
    result = run_design(bids)
    out = bids.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "design.json",
        "distant.json",
        "distant.tsv",
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
    run_design(bids)
    first = (bids.parent / "out" / "group_ancova.tsv").read_bytes()
    run_design(bids)
    assert (bids.parent / "out" / "group_ancova.tsv").read_bytes() == first


@pytest.mark.parametrize("method", ["bonferroni", "holm", "fdr_bh"])
def test_p_values_are_corrected_over_outcomes_and_over_contrasts(bids, method, make_cohort):
    make_cohort(bids)
    outcome = [
        {"region": ["thalamus", "putamen"], "map": "chi", "statistic": "mean"},
        {"region": "thalamus", "statistic": "volume_mm3"},
    ]
    table = run_design(bids, outcome=outcome, correction=method).ancova
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
    result = run_design(bids, outcome={"region": "*", "map": "*", "statistic": ["mean", "volume_mm3"]})
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
    result = run_design(bids, groups={"column": "group", "reference": "HC", "levels": ["HC", "MS", "CIS"]})
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
    assert pd.isna(cast("Any", written.loc["sub-03", "region"]))


def test_a_coded_covariate_is_a_factor_only_if_listed_as_categorical(bids, make_cohort):
    people = make_cohort(bids)
    slope = run_design(bids, covariates=["site"]).ancova["df_residual"].iloc[0]
    factor = run_design(bids, covariates=["site"], categorical=["site"]).ancova
    assert (slope, factor["df_residual"].iloc[0]) == (20, 19)
    assert factor["f"].iloc[0] == pytest.approx(fitted(people, "site").terms["group"].f, rel=1e-8)


def test_a_session_is_chosen_and_several_are_never_picked_from_silently(bids, make_cohort, write_values):
    people = make_cohort(bids)
    for person in people.itertuples():
        next((bids / person.participant_id).rglob("*.tsv")).unlink()
        for session, shift in (("1", 0.0), ("2", 5.0)):
            write_values(bids, person.participant_id, person.thalamus + shift, 0.1, 9000, session)
    with pytest.raises(InputError, match=r"sub-00 +has 2 tables, choose a session: .*ses-1.*ses-2"):
        run_design(bids)
    one, two = (run_design(bids, session=session).ancova for session in ("1", "ses-2"))
    np.testing.assert_allclose(two["adjusted_mean"], one["adjusted_mean"] + 5.0, rtol=1e-8)
    np.testing.assert_allclose(two["f"], one["f"], rtol=1e-6)
    with pytest.raises(InputError, match="no table of session '3'"):
        run_design(bids, session="3")


def test_a_group_that_the_design_leaves_out_may_be_called_as_it_is(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["group"] = people["group"].replace("CIS", "NA")
    write_participants(bids, participants(people))
    result = run_design(bids, groups={"column": "group", "reference": "HC", "levels": ["HC", "MS"]})
    assert reasons(result)["sub-02"] == "group is NA, not compared"


def test_different_sessions_and_numbers_that_may_be_codes_are_remarked(bids, make_cohort, write_values):
    people = make_cohort(bids)
    for i, path in enumerate(sorted(bids.rglob("*_stats.tsv"))):
        path.rename(path.with_name(path.name.replace("_desc", f"_ses-{1 + i // 20}_desc")))
    sessions, codes = run_design(bids, covariates=["age", "site"]).remarks
    assert "different sessions: ses-1 (20), ses-2 (4)" in sessions
    assert "site (1, 2, 3) enters as a number" in codes
    assert len(people["age"].unique()) > 9
    assert run_design(bids, covariates=["site"], categorical=["site"], session="1").remarks == ()


def test_a_censored_age_leaves_out_its_participant_by_name(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["age"] = people["age"].astype(object)
    people.loc[[2, 5], "age"] = "89+", " 40 "
    write_participants(bids, participants(people))
    result = run_design(bids)
    assert reasons(result) == {"sub-02": "age is '89+', not a number"}
    assert result.ancova["n"].tolist() == [8, 7, 8]


def test_blanks_around_names_and_cells_do_not_matter(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    plain = run_design(bids).ancova
    people["group"] = people["group"].replace("MS", " MS ")
    people["participant_id"] = people["participant_id"].str.removeprefix("sub-") + " "
    write_participants(bids, participants(people).rename(columns={"group": " group ", "age": "age "}))
    pd.testing.assert_frame_equal(run_design(bids).ancova, plain)
