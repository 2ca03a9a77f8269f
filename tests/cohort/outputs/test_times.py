"""Times of acquisition are read in the raw dataset that the results link to; the page shows days only."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.outputs.times import session_time
from qsmengine.report.records import ReconstructedSeries
from tests.report.test_layout import write_quality

DATES = ("2021-03-05T23:59:00", "2021-03-07T00:01:00", None)


def inputs(number):
    uris = [f"bids:raw:sub-{number}/{name}" for name in ("t.tsv", f"anat/sub-{number}_MEGRE.nii.gz")]
    return {"Inputs": [{"File": "a", "URI": uri} for uri in uris]}


def series(number):
    return ReconstructedSeries(f"sub-{number}", f"sub-{number}", "qsm", Path(), inputs(number))


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw data"
    for number, date in enumerate(DATES):
        folder = root / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        sidecar = {} if date is None else {"AcquisitionDateTime": date}
        (folder / f"sub-{number}_MEGRE.json").write_text(json.dumps(sidecar))
    (root / "dataset_description.json").write_text("{}")
    return root


@pytest.mark.parametrize("relative", [True, False])
def test_time_comes_from_the_linked_dataset(raw, relative):
    out = raw / "derivatives" / "x"
    out.mkdir(parents=True)
    links = {"raw": "../.." if relative else raw.as_uri()}
    (out / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}))
    found = [session_time(out, [series(number)]) for number in range(3)]
    assert found == [None if date is None else datetime.fromisoformat(date) for date in DATES]


@pytest.mark.parametrize("links", [{}, {"raw": "../none"}, {"raw": 3}, None, []])
def test_without_the_raw_dataset_there_is_no_time(raw, links):
    (raw / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}))
    assert session_time(raw, [series(0)]) is None


def test_page_counts_days_from_the_first_session_and_has_no_date(raw, tmp_path):
    out = tmp_path / "out"
    for number in range(3):
        key = f"sub-{number}"
        write_quality(out, key, snr=60 + number)
        record = {"Steps": [], **inputs(number)}
        (out / key / "anat" / f"{key}_desc-qsm_prov.json").write_text(json.dumps(record))
    link = {"DatasetLinks": {"raw": raw.as_uri()}}
    (out / "dataset_description.json").write_text(json.dumps(link))
    write_reports(out)
    text = (out / "index.html").read_text()
    assert "sub-0: 60, day 0" in text
    assert "sub-1: 61, day 2" in text
    assert "2021" not in text
