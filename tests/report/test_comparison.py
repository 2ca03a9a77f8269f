"""Regional values of a session compared with its cohort."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.report.comparison import comparison, far_from
from qsmengine.report.sessions import SessionState
from tests.report.results import cohort_in, write_session, write_table

COUNT, FAR = 9, 4


@pytest.fixture
def folder(tmp_path, rng):
    for number, value in enumerate(rng.normal(0.1, 0.01, COUNT)):
        key = f"sub-{number:02d}"
        write_session(tmp_path, key)
        write_table(tmp_path, key, {"pallidum": value + (number == FAR), "caudate": value})
    return tmp_path


def test_distances_are_those_of_the_distribution(folder):
    cohort = cohort_in(folder, [SessionState(f"sub-{number:02d}") for number in range(COUNT)])
    (chi,) = (one for one in cohort.compared("sub-02") if one.name == "chi")
    values = np.array(list(cohort.regions[0].regions[1].values.values()))
    middle = np.median(values)
    distance = (values[2] - middle) / (1.4826 * np.median(abs(values - middle)))
    assert (chi.rows[1].region, chi.sessions) == ("caudate", COUNT)
    assert chi.rows[1].distance == pytest.approx(distance)
    assert cohort.compared("sub-99") == ()


def test_dots_lie_at_their_distance_and_stay_on_the_axis(folder):
    cohort = cohort_in(folder, [SessionState(f"sub-{number:02d}") for number in range(COUNT)])
    (chi,) = (one for one in cohort.compared(f"sub-{FAR:02d}") if one.name == "chi")
    drawn = re.findall(r'<circle class="(\w+)" cx="([\d.]+)"', comparison(chi))
    assert [style for style, _ in drawn] == ["out", "dot"]
    assert [float(x) for _, x in drawn] == pytest.approx(
        [900.0, 585.0 + 315.0 * chi.rows[1].distance / 6.0], abs=0.1
    )
    assert far_from(chi).startswith("pallidum +")


def test_the_page_of_a_session_names_values_far_from_the_cohort(folder):
    write_reports(folder, ["sub-01", f"sub-{FAR:02d}"])
    assert "beyond 3: pallidum +" in (folder / f"sub-{FAR:02d}.html").read_text()
    assert "beyond 3" not in (folder / "sub-01.html").read_text()
