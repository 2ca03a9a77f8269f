"""Layout, contrast, and texts of pages: every width, dark and light, without scripts."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from qsmengine.modalities.gre.quality import MEASURES
from qsmengine.modalities.quality import quality_table
from qsmengine.report.cohort_page import write_cohort_page
from qsmengine.report.records import find_series, find_tables
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState, StepState
from tests.report.browser import measure
from tests.report.results import cohort_in, write_session, write_table

WIDTHS = (390, 1280, 1920)
GOOD: dict[str, float | str | None] = {
    "snr": 60.0,
    "field_residual": 0.5,
    "rim_ratio": 0.9,
    "iron_contrast": 40.0,
}
STYLE = (resources.files("qsmengine.report") / "templates" / "style.css").read_text("utf-8")
TEXT = ("ink", "quiet", "link", "good", "fair", "bad")


def write_quality(out, key, **values):
    folder = out / key / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{key}_desc-quality_qsm.tsv").write_text(quality_table(MEASURES, {**GOOD, **values}))


def state_of(key):
    step = StepState("qsm", "done", notes=("a/long/path/without/spaces/" * 12,), seconds=75.0, device="cpu")
    return SessionState(key, steps=(step,))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Six sessions, two of them with maps and a region table; the last one has a wrong sign."""
    folder = tmp_path_factory.mktemp("pages")
    for key in ("sub-00", "sub-05"):
        write_session(folder, key, notes=("x" * 300,))
        write_table(folder, key, {"pallidum": 0.1, "putamen": 0.2})
    for number in range(6):
        iron = -40.0 if number == 5 else 38.0 + number
        write_quality(folder, f"sub-{number:02d}", snr=60.0 + number, iron_contrast=iron)
    return folder


def session_page(out, key="sub-05"):
    series = [one for one in find_series(out) if one.session == key]
    tables = [one for one in find_tables(out) if one.session == key]
    return write_session_page(out, state_of(key), series, tables)


def cohort_page(out):
    states = [state_of(f"sub-{number:02d}") for number in range(6)]
    return write_cohort_page(out, cohort_in(out, states))


def summary(page):
    return re.search(r'<section id="summary".*?</section>', page.read_text(), re.DOTALL)[0]


def test_the_summary_says_why_the_light_is_red(out):
    good, bad = summary(session_page(out, "sub-00")), summary(session_page(out))
    assert 'class="summary green"' in good
    assert "<li>" not in good
    assert 'class="summary red"' in bad
    assert "sign of chi -40 ppb" in bad
    assert "input.phase_sign=-1" in bad


def test_every_table_is_folded_and_links_to_its_file(out):
    text = session_page(out).read_text()
    assert text.count("<table") == text.count("<details>") > 3
    files = re.findall(r'href="([^"]+\.tsv)"', text)
    assert len(files) == 2
    assert all((out / file).is_file() for file in files)


def test_a_session_without_measures_says_so(tmp_path):
    write_session(tmp_path, "sub-01")
    text = summary(write_session_page(tmp_path, state_of("sub-01"), find_series(tmp_path)))
    assert "not measured" in text
    assert "no quality measures" in text


def test_cohort_page_puts_red_sessions_first_and_names_outlying_measures(out):
    text = cohort_page(out).read_text()
    assert "1 red" in text
    assert "5 green" in text
    table = text[text.index('<section id="sessions">') :]
    order = re.findall(r'<a href="(sub-\d\d)\.html">', table)
    assert order[:6] == ["sub-05", *(f"sub-0{number}" for number in range(5))]
    outliers = table[table.index('id="quality-outliers"') :].split("</section>")[0]
    assert re.findall(r"(sub-\d\d)</a></td><td>([^<]+)</td>", outliers) == [("sub-05", "sign of chi")]


@pytest.mark.parametrize("make", [session_page, cohort_page])
def test_pages_fit_phones_and_screens_without_network(out, make):
    page = make(out)
    for width, found in zip(WIDTHS, measure(page, WIDTHS), strict=True):
        assert found["content"] <= found["width"] <= width
        assert all(natural > 0 and alt > 0 for natural, alt in found["images"])
        assert (found["unnamed"], found["broken"]) == (0, 0)
        assert found["sticky"] == "sticky"


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_the_contrast_of_wcag_aa(place):
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[place]))
    for ground in ("page", "band"):
        for name in TEXT:
            low, high = sorted((luminance(colours[ground]), luminance(colours[name])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, name)
