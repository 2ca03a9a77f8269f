import numpy as np
import pandas as pd
import pytest

from qsmengine.stats.analysis.distant import distant_note, distant_rows, distant_table
from qsmengine.stats.analysis.run_design import run_group_analysis
from qsmengine.stats.analysis.run_models import run_analysis
from qsmengine.stats.tables import read_table
from tests.stats.designs import design_file

MODELS = """
variables: {thalamus: {region: thalamus, map: chi, statistic: mean}}
correction: none
models:
  - {name: one, kind: ancova, outcome: thalamus, groups: {column: group, reference: HC}, covariates: [age]}
  - {name: two, kind: partial_correlation, outcome: thalamus, with: age}
"""


def people(ages):
    return pd.DataFrame({"participant_id": [f"sub-{i}" for i in range(len(ages))], "age": ages, "sex": "F"})


@pytest.mark.parametrize("wrong", [1, 11])
def test_ages_in_months_among_years_are_found_up_to_half_of_them(wrong):
    rng = np.random.default_rng()
    ages = rng.uniform(20, 70, 24)
    ages[:wrong] = rng.uniform(40, 70, wrong) * 12  # beyond ten robust deviations of any ages of 20 to 70 years
    rows = distant_rows(people(ages), ("age", "sex"))
    far = np.abs(ages - np.median(ages)) > 14.826 * np.median(np.abs(ages - np.median(ages)))
    assert [row["participant_id"] for row in rows] == [f"sub-{i}" for i in np.flatnonzero(far)]
    if wrong == 1:
        assert far.tolist() == [True, *[False] * 23]
        assert rows[0]["value"] == ages[0]
        assert rows[0]["median"] == np.median(ages)


def test_normal_and_skewed_values_are_not_distant():
    rng = np.random.default_rng(4)
    assert distant_rows(people(rng.normal(40, 10, 5000)), ["age"]) == []
    assert distant_rows(people(rng.gamma(2.0, 5.0, 500)), ["age"]) == []


def test_a_column_with_one_value_for_most_and_a_short_column_have_no_distance():
    assert distant_rows(people([0.0] * 9 + [5.0]), ["age"]) == []
    assert distant_rows(people([20.0, 21.0, 22.0, 900.0]), ["age"]) == []


def test_distance_does_not_depend_on_unit_and_zero_point():
    ages = np.append(np.random.default_rng().uniform(20, 70, 20), 900.0)
    (first,) = distant_rows(people(ages), ["age"])
    (second,) = distant_rows(people(3.0 - 12.0 * ages), ["age"])
    assert second["distance"] == pytest.approx(first["distance"])


def test_the_design_reports_a_wrong_outcome_and_a_wrong_covariate(bids, make_cohort, write_values):
    made = make_cohort(bids)
    write_values(bids, "sub-03", 52.0, 0.1, 9000)  # ppb among ppm
    table = pd.read_csv(bids / "participants.tsv", sep="\t")
    table.loc[table["participant_id"] == "sub-07", "age"] *= 12
    table.to_csv(bids / "participants.tsv", sep="\t", index=False)
    result = run_group_analysis(design_file(bids.parent), bids, bids.parent / "out")
    written = read_table(bids.parent / "out" / "distant.tsv").set_index("participant_id")
    assert dict(written["column"]) == {"sub-03": "thalamus bilateral chi mean", "sub-07": "age"}
    assert written["value"].astype(float)["sub-07"] == 12 * made["age"][7]
    note = distant_note(result.distant)
    assert note.startswith(
        "values far from all others: 1 of thalamus bilateral chi mean, 1 of age; the farthest"
    )


def test_models_report_a_value_once(bids, make_cohort, write_values):
    make_cohort(bids)
    write_values(bids, "sub-03", 52.0, 0.1, 9000)
    (bids.parent / "models.yaml").write_text(MODELS)
    result = run_analysis(bids.parent / "models.yaml", bids, bids.parent / "out")
    assert result.distant[["participant_id", "column"]].to_numpy().tolist() == [["sub-03", "thalamus"]]


def test_nothing_is_said_without_distant_values(bids, make_cohort):
    make_cohort(bids)
    result = run_group_analysis(design_file(bids.parent), bids, bids.parent / "out")
    assert distant_note(result.distant) is None
    assert distant_note(distant_table([])) is None
