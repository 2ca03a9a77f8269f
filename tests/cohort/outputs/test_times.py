"""Times of acquisition are read in the raw dataset that the results link to; the page shows days only."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from qsmengine.cohort.outputs.times import acquisition_times
from qsmengine.report.drift import acquired
from qsmengine.report.records import ReconstructedSeries


def series(key, *uris):
    return ReconstructedSeries(key, key, "qsm", Path(), {"Inputs": [{"File": "a", "URI": uri} for uri in uris]})


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw data"
    for number in range(3):
        folder = root / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        sidecar = {"AcquisitionDateTime": f"2021-03-0{2 * number + 1}T23:59:00"}
        (folder / f"sub-{number}_MEGRE.json").write_text(json.dumps(sidecar if number < 2 else {}))
    (root / "dataset_description.json").write_text("{}")
    return root


@pytest.mark.parametrize("relative", [True, False])
def test_times_come_from_the_linked_dataset_and_the_page_gets_days(raw, relative):
    out = raw / "derivatives" / "x"
    out.mkdir(parents=True)
    links = {"raw": "../.." if relative else raw.as_uri()}
    (out / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}))
    found = [
        series(f"sub-{k}", f"bids:raw:sub-{k}/t.tsv", f"bids:raw:sub-{k}/anat/sub-{k}_MEGRE.nii.gz")
        for k in range(3)
    ]
    times = acquisition_times(out, found)
    assert times == {f"sub-{k}": datetime(2021, 3, 2 * k + 1, 23, 59) for k in range(2)}
    assert {key: one.day for key, one in acquired(found, times).items()} == {"sub-0": 0, "sub-1": 2}


@pytest.mark.parametrize("links", [{}, {"raw": "../none"}, {"raw": 3}, None, []])
def test_without_the_raw_dataset_there_are_no_times(raw, links):
    (raw / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}))
    assert acquisition_times(raw, [series("sub-0", "bids:raw:sub-0/anat/sub-0_MEGRE.nii.gz")]) == {}
