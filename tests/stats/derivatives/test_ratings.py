"""Sessions that a person excluded are left out of group models; ratings that are not understood are refused."""

from __future__ import annotations

import pytest

from qsmengine.errors import InputError
from qsmengine.stats.analysis.run_design import run_group_analysis
from qsmengine.stats.derivatives.collect import read_cohort
from qsmengine.stats.derivatives.ratings import without_excluded
from tests.stats.designs import design_file

HEADER = "participant_id\tsession_id\tverdict\tcomment"


def ratings(folder, *rows, header=HEADER):
    path = folder / "ratings.tsv"
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
    return path


def test_excluded_participants_leave_the_model_as_if_they_had_no_files(bids, make_cohort, rng):
    people = make_cohort(bids)
    gone = sorted(rng.choice(people["participant_id"], 3, replace=False))
    rows = [(one, "n/a", "exclude", "motion") for one in gone]
    kept = [(one, "n/a", "accept", "n/a") for one in people["participant_id"] if one not in gone][:2]
    path = ratings(bids.parent, *rows, *kept)
    found = run_group_analysis(design_file(bids.parent), bids, bids.parent / "a", exclude=path)
    assert {row.participant_id: row.reason for row in found.excluded.itertuples()} == dict.fromkeys(
        gone, "excluded by ratings.tsv: motion"
    )
    for one in gone:
        next((bids / one).rglob("*_stats.tsv")).unlink()
    again = run_group_analysis(design_file(bids.parent), bids, bids.parent / "b")
    assert found.ancova.equals(again.ancova)
    assert found.ancova["n_total"].unique() == len(people) - 3


def test_one_session_is_excluded_and_the_other_kept(bids, make_cohort, write_values):
    make_cohort(bids, n=9)
    for session in ("a", "b"):
        write_values(bids, "sub-00", 0.1, 0.1, 9000.0, session)
    (bids / "sub-00" / "anat" / "sub-00_desc-dgm_stats.tsv").unlink()
    path = ratings(bids.parent, ("sub-00", "ses-b", "exclude", ""), ("sub-01", "ses-x", "exclude", "failed"))
    kept, gone = without_excluded(read_cohort(bids), path)
    own = kept.measures[kept.measures["participant_id"] == "sub-00"]
    assert set(own["session_id"]) == {"a"}
    assert "sub-00" in set(kept.participants["participant_id"])
    assert [one.reason for one in gone] == [
        "excluded by ratings.tsv",
        "excluded by ratings.tsv: failed; it has no region table",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("sub-00", "n/a", "bad", "")], "line 2 +verdict is not one of accept, doubt, exclude: 'bad'"),
        ([("sub-00", "n/a", "n/a", "")], "line 2 +verdict is not one of accept, doubt, exclude: n/a"),
        ([("sub-0", "n/a", "exclude", "")], "line 2 +no participant 'sub-0'"),
        ([("sub-01", "n/a", "accept", ""), ("01", "", "exclude", "")], "line 3 +sub-01 has two rows"),
        ([("n/a", "n/a", "exclude", "")], "participant_id: line 2 has none"),
        ([(f"sub-{k:02d}", "n/a", "exclude", "") for k in range(9)], "excludes every session"),
    ],
)
def test_ratings_that_are_not_understood_are_refused(bids, make_cohort, rows, message):
    make_cohort(bids, n=9)
    with pytest.raises(InputError, match=message):
        without_excluded(read_cohort(bids), ratings(bids.parent, *rows))


def test_participant_with_sessions_needs_the_session(bids, make_cohort, write_values):
    make_cohort(bids, n=9)
    (bids / "sub-00" / "anat" / "sub-00_desc-dgm_stats.tsv").unlink()
    write_values(bids, "sub-00", 0.1, 0.1, 9000.0, "a")
    with pytest.raises(InputError, match="sub-00 has ses-a: name one"):
        without_excluded(read_cohort(bids), ratings(bids.parent, ("sub-00", "n/a", "exclude", "")))


def test_missing_column_is_named(bids, make_cohort):
    make_cohort(bids, n=9)
    path = ratings(bids.parent, ("sub-00", "exclude"), header="participant_id\tverdict")
    with pytest.raises(InputError, match="session_id: has no such column; columns: participant_id, verdict"):
        without_excluded(read_cohort(bids), path)
