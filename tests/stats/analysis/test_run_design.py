import json
import re
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from qsmengine.errors import InputError
from qsmengine.stats.analysis.run_design import run_group_analysis
from qsmengine.stats.models.ancova import fit_ancova
from qsmengine.stats.tables import read_table
from tests.stats.designs import design_file


def run(bids, **changes):
    return run_group_analysis(design_file(bids.parent, **changes), bids, bids.parent / "out")


def participants(people):
    return people[["participant_id", "group", "age", "sex", "site"]]


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
    result = run(bids)
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
    result = run(bids)
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
    assert pd.isna(cast("Any", written.loc["sub-03", "region"]))


def test_a_coded_covariate_is_a_factor_only_if_listed_as_categorical(bids, make_cohort):
    people = make_cohort(bids)
    slope = run(bids, covariates=["site"]).ancova["df_residual"].iloc[0]
    factor = run(bids, covariates=["site"], categorical=["site"]).ancova
    assert (slope, factor["df_residual"].iloc[0]) == (20, 19)
    assert factor["f"].iloc[0] == pytest.approx(fitted(people, "site").terms["group"].f, rel=1e-8)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ids: ids.str.replace("sub-0", "sub-"),
            r"sub-0 is sub-00 in the folder; 10 of the ids",
        ),
        (lambda ids: ids + ".0", r"sub-00\.0 is sub-00 in the folder; 24 of the ids"),
        (lambda ids: ids.str.replace("sub-", "SUB_"), "sub-SUB_00 is sub-00 in the folder; 24 of the ids"),
        (
            lambda ids: ids.str.replace("sub-", "P"),
            "no participant has a region table: the rows are sub-P00, ",
        ),
    ],
)
def test_ids_that_name_no_folder_are_refused(bids, make_cohort, write_participants, change, message):
    people = make_cohort(bids)
    people["participant_id"] = change(people["participant_id"])
    write_participants(bids, participants(people))
    with pytest.raises(InputError, match=f"participants.tsv: participant_id: {message}"):
        run(bids)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"MS": ["MS", "ms"]}, "'MS' and 'ms' differ only in case or blanks"),
        ({"HC": ["0", "0.0"], "MS": ["1"]}, "'0' and '0.0' differ only in how the number is written"),
        ({"MS": ["MS", "NaN"]}, "'NaN' usually stands for a missing one"),
    ],
)
def test_groups_written_in_two_ways_are_refused(bids, make_cohort, write_participants, groups, message):
    people = make_cohort(bids, groups=("HC", "MS"))
    for i, group in enumerate(people["group"]):
        forms = groups.get(group, [group])
        people.loc[i, "group"] = forms[i // 2 % len(forms)]
    write_participants(bids, participants(people))
    reference = people["group"][0]
    with pytest.raises(InputError, match=f"group .*{message}"):
        run(bids, groups={"column": "group", "reference": reference})


def test_a_group_that_the_design_leaves_out_may_be_called_as_it_is(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["group"] = people["group"].replace("CIS", "NA")
    write_participants(bids, participants(people))
    result = run(bids, groups={"column": "group", "reference": "HC", "levels": ["HC", "MS"]})
    assert reasons(result)["sub-02"] == "group is NA, not compared"


def test_an_unknown_reference_is_answered_with_the_groups(bids, make_cohort):
    make_cohort(bids)
    with pytest.raises(InputError, match="no group 'Control'; its groups are CIS, HC, MS"):
        run(bids, groups={"column": "group", "reference": "Control"})


def test_tables_in_different_units_are_not_compared(bids, make_cohort):
    make_cohort(bids)
    for i, path in enumerate(sorted(bids.rglob("*_stats.tsv"))):
        path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppb" if i == 3 else "ppm"}}))
    with pytest.raises(InputError, match=r"chi_mean: in ppb, .* has ppm"):
        run(bids)


def test_different_sessions_and_numbers_that_may_be_codes_are_remarked(bids, make_cohort, write_values):
    people = make_cohort(bids)
    for i, path in enumerate(sorted(bids.rglob("*_stats.tsv"))):
        path.rename(path.with_name(path.name.replace("_desc", f"_ses-{1 + i // 20}_desc")))
    sessions, codes = run(bids, covariates=["age", "site"]).remarks
    assert "different sessions: ses-1 (20), ses-2 (4)" in sessions
    assert "site (1, 2, 3) enters as a number" in codes
    assert len(people["age"].unique()) > 9
    assert run(bids, covariates=["site"], categorical=["site"], session="1").remarks == ()


def test_terms_that_determine_each_other_are_named(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["months"] = 12 * people["age"]
    write_participants(bids, people[["participant_id", "group", "age", "sex", "months"]])
    with pytest.raises(InputError, match=r"linearly dependent .*: age, months$"):
        run(bids, covariates=["age", "sex", "months"])


def test_a_censored_age_leaves_out_its_participant_by_name(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["age"] = people["age"].astype(object)
    people.loc[[2, 5], "age"] = "89+", " 40 "
    write_participants(bids, participants(people))
    result = run(bids)
    assert reasons(result) == {"sub-02": "age is '89+', not a number"}
    assert result.ancova["n"].tolist() == [8, 7, 8]


def test_blanks_around_names_and_cells_do_not_matter(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    plain = run(bids).ancova
    people["group"] = people["group"].replace("MS", " MS ")
    people["participant_id"] = people["participant_id"].str.removeprefix("sub-") + " "
    write_participants(bids, participants(people).rename(columns={"group": " group ", "age": "age "}))
    pd.testing.assert_frame_equal(run(bids).ancova, plain)


def test_all_problems_come_in_one_table_and_nothing_is_written(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["sex"] = "F"
    people["age"] = people["age"].astype(object)
    people.loc[2:, "age"] = "34y"
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
        ({"covariates": ["age", "age"]}, "age +appears in the design twice"),
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
