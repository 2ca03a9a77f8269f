"""Susceptibility of the deep grey matter against the iron published for the age."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import constants

from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.report.iron import AGES, CURVES, FERRITIN, compared_with_iron, expected_iron, iron_plot
from qsmengine.report.records import find_tables
from tests.report.results import write_session, write_table


def _table(folder, age, rise, zero=0.02, **changed):
    """Table of structures whose chi [ppm] rises with iron by `rise` [ppb per mg/kg]."""
    values = {name: zero + 1e-3 * rise * expected_iron(name, age) for name in CURVES}
    write_table(folder, "sub-01", values | {"thalamus": 0.01} | changed)
    return find_tables(folder)


def test_ferritin_follows_curie_law():
    magneton = constants.physical_constants["Bohr magneton"][0]
    atoms = 1e-3 * 1.04e3 * constants.N_A / 55.845
    chi = constants.mu_0 * atoms * (3.78 * magneton) ** 2 / (3 * constants.k * 310)
    assert pytest.approx(1e9 * chi, abs=0.005) == FERRITIN


def test_adults_hold_the_iron_of_the_published_table():
    """Means above 30 years: 213, 133 and 93 mg/kg, each with a standard deviation of about 35."""
    for name, mean in (("pallidum", 213), ("putamen", 133), ("caudate", 93)):
        assert expected_iron(name, 60.0) == pytest.approx(mean, abs=12)


@pytest.mark.parametrize("zero", [0.0, -0.3])
def test_rise_is_recovered_whatever_the_zero(tmp_path, rng, zero):
    age, rise = rng.uniform(*AGES), rng.uniform(0.1, FERRITIN)
    (one,) = compared_with_iron(_table(tmp_path, age, rise, zero), age)
    assert one.rise == pytest.approx(rise)
    assert one.plausible


@pytest.mark.parametrize("rise", [-0.7, 1.4, 2.1])
def test_wrong_sign_and_halved_field_strength_are_outside(tmp_path, rise):
    (one,) = compared_with_iron(_table(tmp_path, 40.0, rise), 40.0)
    assert not one.plausible


@pytest.mark.parametrize("age", [None, 2.0, 101.0, float("nan")])
def test_nothing_is_compared_without_an_age_in_the_range(tmp_path, age):
    assert not compared_with_iron(_table(tmp_path, 40.0, 0.7), age)


def test_nothing_is_compared_without_every_structure(tmp_path):
    assert not compared_with_iron(_table(tmp_path, 40.0, 0.7, putamen=np.nan), 40.0)


def test_dots_of_an_exact_rise_lie_on_its_line(tmp_path):
    (one,) = compared_with_iron(_table(tmp_path, 40.0, 0.7), 40.0)
    drawing = iron_plot(one)
    x0, y0, x1, y1 = map(
        float, re.search(r'"median" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)', drawing).groups()
    )
    dots = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawing)]
    assert [y for _, y in dots] == pytest.approx(
        [y0 + (y1 - y0) * (x - x0) / (x1 - x0) for x, _ in dots], abs=0.2
    )


@pytest.mark.parametrize(("rise", "red"), [(0.7, False), (1.5, True)])
def test_page_of_a_session_says_what_ferritin_does_not_explain(tmp_path, rise, red):
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t40\nsub-02\tn/a\n")
    write_session(tmp_path, "sub-01")
    _table(tmp_path, 40.0, rise)
    write_reports(tmp_path, ["sub-01"])
    page = (tmp_path / "sub-01.html").read_text()
    assert f"chi rises by {rise:.2f} ppb per mg/kg" in page
    assert ('<span class="red">chi rises' in page) == red
