"""The cohort page in a browser: table, filters, ratings, links, and layout."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from qsmengine.report.cohort_page import PART, write_cohort_page
from qsmengine.report.sessions import SessionState
from qsmengine.stats.derivatives.collect import Cohort
from qsmengine.stats.derivatives.ratings import without_excluded
from tests.report.chromium import opened, started
from tests.report.results import cohort_in, write_table
from tests.report.test_layout import write_quality

COUNT, BAD, FAR = 130, 5, 17
KEYS = [f"sub-{number:03d}" for number in range(COUNT)]


TIMES = {key: datetime(2021, 1, 1) + timedelta(days=number) for number, key in enumerate(KEYS)}


def acquisition(number):
    return {"ManufacturersModelName": "AB"[number % 2], "DeviceSerialNumber": f"{number % 2}<b>"}


@pytest.fixture(scope="module")
def snr():
    """SNR of every session, drifting on the first scanner."""
    noise = np.random.default_rng(8).normal(0, 3, COUNT)
    return [round(60 + noise[k] - (0.2 * k if k % 2 == 0 else 0), 3) for k in range(COUNT)]


@pytest.fixture(scope="module")
def page(tmp_path_factory, snr):
    out = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(9)
    for number, key in enumerate(KEYS):
        write_quality(out, key, snr=snr[number], iron_contrast=-40.0 if number == BAD else 38.0 + rng.normal())
        value = 0.1 + 0.01 * rng.normal() + (0.5 if number == FAR else 0.0)
        write_table(out, key, {"pallidum": value})
        record = {"Steps": [], "Acquisition": acquisition(number)}
        (out / key / "anat" / f"{key}_desc-qsm_prov.json").write_text(json.dumps(record))
    states = [SessionState(key) for key in KEYS]
    return write_cohort_page(out, cohort_in(out, states, TIMES))


@pytest.fixture(scope="module")
def browser():
    with started() as found:
        yield found


def column(shown, number):
    return [cell.strip() for cell in shown.locator(f"#table tbody td:nth-child({number})").all_inner_texts()]


def test_table_sorts_pages_and_filters(page, browser, snr):
    with opened(browser, page) as shown:
        assert column(shown, 1)[0] == KEYS[BAD]
        assert len(column(shown, 1)) == 100
        shown.get_by_role("button", name="SNR of the first echo").click()
        order = [KEYS[k] for k in np.argsort(snr, kind="stable")]
        assert column(shown, 1) == order[:100]
        shown.get_by_role("button", name="SNR of the first echo").click()
        assert column(shown, 1)[:20] == order[::-1][:20]
        assert shown.locator("th[aria-sort=descending]").count() == 1
        shown.get_by_role("button", name="Next").click()
        assert column(shown, 1) == order[::-1][100:]
        assert shown.locator("#place").inner_text() == "101 to 130 of 130"
        shown.locator("#light").select_option("red")
        assert column(shown, 1) == [KEYS[BAD]]
        shown.locator("#light").select_option("")
        shown.locator("#words").fill(KEYS[FAR])
        assert column(shown, 1) == [KEYS[FAR]]


def test_ratings_are_kept_saved_and_read_by_group_and_page(page, browser, tmp_path):
    with opened(browser, page, accept_downloads=True) as shown:
        shown.get_by_label(f"verdict of {KEYS[BAD]}").select_option("exclude")
        shown.get_by_label(f"comment on {KEYS[BAD]}").fill("=sign\tof phase")
        shown.get_by_label(f"verdict of {KEYS[1]}").select_option("accept")
        shown.reload()
        assert shown.locator("#rated").inner_text() == "2 sessions rated"
        shown.locator("#verdict").select_option("exclude")
        assert column(shown, 1) == [KEYS[BAD]]
        with shown.expect_download() as caught:
            shown.get_by_role("button", name="Save ratings").click()
        saved = tmp_path / caught.value.suggested_filename
        caught.value.save_as(saved)
    lines = [line.split("\t") for line in saved.read_text().splitlines()]
    assert lines == [
        ["participant_id", "session_id", "verdict", "comment"],
        [KEYS[1], "n/a", "accept", "n/a"],
        [KEYS[BAD], "n/a", "exclude", "'=sign of phase"],
    ]
    people = pd.DataFrame({"participant_id": KEYS})
    measures = people.assign(session_id=None, value=1.0)
    kept, gone = without_excluded(Cohort(measures, people), saved)
    assert [(one.participant, one.reason) for one in gone] == [
        (KEYS[BAD], "excluded by ratings.tsv: =sign of phase")
    ]
    assert len(kept.measures) == COUNT - 1
    with opened(browser, page) as shown:
        assert shown.locator("#rated").inner_text() == "0 sessions rated"
        shown.locator("#load").set_input_files(saved)
        shown.get_by_text("2 sessions rated").wait_for()
        assert shown.get_by_label(f"comment on {KEYS[BAD]}").input_value() == "=sign of phase"


def test_dots_link_to_sessions_and_drift_is_named(page, browser):
    with opened(browser, page) as shown:
        far = shown.locator("#regions circle.out")
        assert far.count() == 1
        assert far.locator("title").text_content().startswith(f"{KEYS[FAR]}: ")
        assert shown.locator("#regions a:has(circle.out)").get_attribute("href") == f"{KEYS[FAR]}.html"
        assert shown.locator("#regions circle").count() == 2 * COUNT  # mean and volume
        shifts = shown.locator("#drift table td.red").all_inner_texts()
        assert len(shifts) == 1
        assert float(shifts[0]) < -1
        assert shown.locator("#drift .key").all_inner_texts() == ["A 0<b>", "B 1<b>"]


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_page_fits_with_scripts_and_keeps_its_style(page, browser, width):
    with opened(browser, page, width) as shown:
        sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        content, window = shown.evaluate(sizes)
        assert content <= window <= width
        assert shown.evaluate("getComputedStyle(document.querySelector('nav')).position") == "sticky"


def test_without_scripts_further_sessions_are_on_further_pages(tmp_path, browser):
    keys = [f"sub-{number:04d}" for number in range(2 * PART + 3)]
    page = write_cohort_page(tmp_path, cohort_in(tmp_path, [SessionState(key) for key in keys]))
    with opened(browser, page, java_script_enabled=False) as shown:
        found = column(shown, 1)
        links = shown.locator("p.plain a").all()
        assert [link.get_attribute("href") for link in links] == ["index-2.html", "index-3.html"]
        assert not shown.locator("#save").is_visible()
    for name in ("index-2.html", "index-3.html"):
        with opened(browser, tmp_path / name, java_script_enabled=False) as shown:
            found += column(shown, 1)
    assert found == keys
    write_cohort_page(tmp_path, cohort_in(tmp_path, [SessionState("sub-0001")]))
    assert [path.name for path in tmp_path.glob("index*")] == ["index.html"]
