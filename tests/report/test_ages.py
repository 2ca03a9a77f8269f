"""Differences of chi between structures against those published for the age."""

from __future__ import annotations

import json
import re
from statistics import median

import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.errors import InputError
from qsmengine.report.ages import PAIRS, SLOPE, SLOPES, ages_plot, differences, predicted, studies
from qsmengine.report.covariates import read_ages
from qsmengine.report.iron import AGES, compared_with_iron, expected_iron
from qsmengine.report.records import find_tables
from tests.report.results import write_session, write_table

CHI = {"caudate": 0.045, "putamen": 0.058, "pallidum": 0.131}


def _compared(folder, age, zero=0.0):
    write_table(folder, "sub-01", {name: value + zero for name, value in CHI.items()})
    return compared_with_iron(find_tables(folder), age)[0]


def test_iron_at_30_years_is_what_others_compute_from_the_curves():
    """Hagberg et al. tabulate the curves at 30 years [mg/kg] to calibrate chi by iron."""
    published = {"caudate": 78.35, "putamen": 106.77, "pallidum": 203.41}
    assert {name: expected_iron(name, 30.0) for name in published} == pytest.approx(published, abs=0.005)


def test_prediction_is_the_difference_of_iron_times_the_slope():
    assert predicted(("pallidum", "caudate"), 30.0) == pytest.approx(0.89 * (203.41 - 78.35), abs=0.01)


def test_cohorts_are_of_adults_and_their_pallidum_mostly_exceeds_the_caudate():
    assert len({study.doi for study in studies()}) == len(studies()) == 7
    assert all(AGES[0] < study.youngest <= study.oldest < AGES[1] for study in studies())
    found = [study.difference(("pallidum", "caudate")) for study in studies()]
    low, high = (predicted(("pallidum", "caudate"), 40.0, slope) for slope in SLOPES)
    assert low < median(found) < high
    assert SLOPES[0] < SLOPE < SLOPES[1]


@pytest.mark.parametrize("zero", [0.0, -0.2])
def test_differences_do_not_depend_on_the_zero_of_chi(tmp_path, zero):
    found = {row.pair: row.found for row in differences(_compared(tmp_path, 42.0, zero))}
    assert found == pytest.approx(dict(zip(PAIRS, (86.0, 73.0, 13.0), strict=True)))


def test_dots_lie_at_the_age_and_the_difference(tmp_path):
    drawing = ages_plot(_compared(tmp_path, 42.0))
    x, y = map(float, re.search(r'class="session" cx="([\d.]+)" cy="([\d.]+)"', drawing).groups())
    ticks = re.findall(r'text-anchor="end" x="35" y="([\d.]+)">(-?\d+)<', drawing)
    (y0, v0), (y1, v1) = ((float(a) - 4, float(b)) for a, b in (ticks[0], ticks[-1]))
    assert v0 + (v1 - v0) * (y - y0) / (y1 - y0) == pytest.approx(86.0, abs=1.0)
    places = dict(re.findall(r'text-anchor="middle" x="([\d.]+)" y="[\d.]+">(\d+)<', drawing)[:5])
    (x0, a0), (x1, a1) = ((float(a), float(b)) for a, b in list(places.items())[::4])
    assert a0 + (a1 - a0) * (x - x0) / (x1 - x0) == pytest.approx(42.0, abs=0.5)
    assert drawing.count('class="cohort"') == len(PAIRS) * len(studies())


def test_page_shows_the_comparison_without_a_light(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t42\n")
    write_session(tmp_path, "sub-01")
    _compared(tmp_path, 42.0)
    write_reports(tmp_path, ["sub-01"])
    page = (tmp_path / "sub-01.html").read_text()
    part = page[page.index("chi between structures at 42 years") :].partition("</details>")[0]
    assert "<td>pallidum minus caudate</td><td>86</td><td>111</td><td>70 to 175</td>" in part
    assert all(f"https://doi.org/{study.doi}" in part for study in studies())
    assert "light" not in part
    assert 'class="red"' not in part


@pytest.fixture
def derived(tmp_path):
    """Folder of results whose description links to a raw dataset with the age of a participant."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-01\t42\n")
    links = {"DatasetLinks": {"raw": raw.as_uri()}}
    (out / "dataset_description.json").write_text(json.dumps(links))
    return raw, out


def test_ages_of_the_raw_dataset_are_used_unless_the_results_have_their_own(derived):
    _, out = derived
    assert read_ages(out, ["sub-01_ses-1", "sub-02"]) == {"sub-01_ses-1": 42.0}
    (out / "participants.tsv").write_text("participant_id\tage\nsub-01\t43\n")
    assert read_ages(out, ["sub-01"]) == {"sub-01": 43.0}


TWICE = "participant_id\tage\nsub-01\t42\n01\t43\n"


def test_participants_of_the_raw_dataset_that_cannot_be_used_are_noted(derived, capsys):
    raw, out = derived
    (raw / "participants.tsv").write_text(TWICE)
    place = write_session(out, "sub-01")
    for path in place.glob("*.nii.gz"):
        path.unlink()
    assert main(["report", str(out)]) == 0
    assert "participant_id: sub-01 has more than one row: keep one; age, sex" in capsys.readouterr().err
    assert read_ages(out, ["sub-01"]) == {}


def test_participants_of_the_results_must_have_one_row_each(derived):
    _, out = derived
    (out / "participants.tsv").write_text(TWICE)
    with pytest.raises(InputError, match="sub-01 has more than one row"):
        read_ages(out, ["sub-01"])


@pytest.mark.parametrize(
    ("unit", "age"), [("years", 42.0), ("Year", 42.0), ("months", 3.5), ("weeks", 0.8049), ("score", None)]
)
def test_ages_follow_the_unit_of_the_table(derived, unit, age):
    raw, out = derived
    (raw / "participants.json").write_text(json.dumps({"age": {"Units": unit}}))
    assert read_ages(out, ["sub-01"]).get("sub-01") == pytest.approx(age, abs=1e-3)
