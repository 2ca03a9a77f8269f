"""Scanner and time of an acquisition come from the sidecar, the time also from scans.tsv."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from qsmengine.io.inheritance import Folders
from qsmengine.pipeline.outputs.scanner import acquisition_time, scanner_facts


def image_in(folder, **sidecar):
    path = folder / "sub-01" / "anat" / "sub-01_part-mag_MEGRE.nii.gz"
    path.parent.mkdir(parents=True)
    path.with_name("sub-01_part-mag_MEGRE.json").write_text(json.dumps(sidecar))
    return path


@pytest.mark.parametrize(
    ("given", "time"),
    [
        ("2024-03-01T10:11:12.5", datetime(2024, 3, 1, 10, 11, 12, 500_000)),
        ("2024-03-01T10:11:12+02:00", datetime(2024, 3, 1, 10, 11, 12)),
        ("10:11:12", None),
        ("yesterday", None),
        (20240301, None),
    ],
)
def test_fields_of_the_first_image_are_kept_and_its_time_is_not(tmp_path, given, time):
    path = image_in(
        tmp_path, Manufacturer="Maker", DeviceSerialNumber="7", StationName=3, AcquisitionDateTime=given
    )
    found = scanner_facts([tmp_path / "table.tsv", path])
    assert found == {"Manufacturer": "Maker", "DeviceSerialNumber": "7"}
    assert acquisition_time(path, Folders()) == time


def test_time_of_scans_tsv_is_that_of_the_image(tmp_path):
    path = image_in(tmp_path)
    rows = [
        "filename\tacq_time",
        "anat/other.nii.gz\t2020-01-01T00:00:00",
        f"anat/{path.name}\t2021-02-03T04:05:06",
    ]
    (tmp_path / "sub-01" / "sub-01_scans.tsv").write_text("\n".join(rows) + "\n")
    assert acquisition_time(path, Folders()) == datetime(2021, 2, 3, 4, 5, 6)


def test_absent_and_damaged_sidecars_give_nothing(tmp_path):
    path = image_in(tmp_path)
    assert scanner_facts([path]) == {}
    assert acquisition_time(path, Folders()) is None
    path.with_name("sub-01_part-mag_MEGRE.json").write_text("{")
    assert scanner_facts([path]) == {}
    assert acquisition_time(path, Folders()) is None
    assert scanner_facts([]) == {}
