"""Designs and tables that are refused, with every problem named and nothing written."""

import json
import re

import pytest

from qsmengine.errors import InputError
from tests.stats.designs import participants, run_design


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
        run_design(bids)


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
        run_design(bids, groups={"column": "group", "reference": reference})


def test_an_unknown_reference_is_answered_with_the_groups(bids, make_cohort):
    make_cohort(bids)
    with pytest.raises(InputError, match="no group 'Control'; its groups are CIS, HC, MS"):
        run_design(bids, groups={"column": "group", "reference": "Control"})


def test_tables_in_different_units_are_not_compared(bids, make_cohort):
    make_cohort(bids)
    for i, path in enumerate(sorted(bids.rglob("*_stats.tsv"))):
        path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppb" if i == 3 else "ppm"}}))
    with pytest.raises(InputError, match=r"chi_mean: in ppb, .* has ppm"):
        run_design(bids)


def test_terms_that_determine_each_other_are_named(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["months"] = 12 * people["age"]
    write_participants(bids, people[["participant_id", "group", "age", "sex", "months"]])
    with pytest.raises(InputError, match=r"linearly dependent .*: age, months$"):
        run_design(bids, covariates=["age", "sex", "months"])


def test_all_problems_come_in_one_table_and_nothing_is_written(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people["sex"] = "F"
    people["age"] = people["age"].astype(object)
    people.loc[2:, "age"] = "34y"
    write_participants(bids, participants(people))
    with pytest.raises(InputError) as caught:
        run_design(bids, covariates=["age", "sex", "Grup"], groups={"column": "group", "reference": "hc"})
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
        run_design(bids, **changes)


def test_one_group_and_too_few_participants_are_refused(bids, make_cohort):
    make_cohort(bids, groups=("HC",))
    with pytest.raises(InputError, match="only one group: HC"):
        run_design(bids)
    make_cohort(bids, n=24, groups=("HC", "MS"))
    for folder in sorted(bids.glob("sub-*"))[5:]:
        next(folder.rglob("*.tsv")).unlink()
    with pytest.raises(InputError, match="5 participants are too few for 4 terms"):
        run_design(bids)
    next((bids / "sub-03").rglob("*.tsv")).unlink()
    with pytest.raises(
        InputError, match=r"thalamus bilateral chi mean +every group needs two participants: MS has 1"
    ):
        run_design(bids)


def test_a_participant_twice_is_refused_with_and_without_prefix(bids, make_cohort, write_participants):
    people = make_cohort(bids)
    people.loc[1, "participant_id"] = "00"
    write_participants(bids, participants(people))
    with pytest.raises(InputError, match=r"participants.tsv: participant_id: sub-00 more than once"):
        run_design(bids)
