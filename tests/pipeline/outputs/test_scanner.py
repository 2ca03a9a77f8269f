"""Scanner and time of an acquisition come from the sidecar, the time also from scans.tsv."""

from __future__ import annotations

import json

import pytest

from qsmengine.pipeline.outputs.scanner import scanner_facts


def image_in(folder, **sidecar):
    path = folder / "sub-01" / "anat" / "sub-01_part-mag_MEGRE.nii.gz"
    path.parent.mkdir(parents=True)
    path.with_name("sub-01_part-mag_MEGRE.json").write_text(json.dumps(sidecar))
    return path


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2024-03-01T10:11:12.5", "2024-03-01T10:11:12.500000"),
        ("2024-03-01T10:11:12", "2024-03-01T10:11:12"),
        ("10:11:12", None),
        ("yesterday", None),
        (20240301, None),
    ],
)
def test_fields_of_the_first_image_are_kept_and_dates_checked(tmp_path, given, kept):
    path = image_in(
        tmp_path, Manufacturer="Maker", DeviceSerialNumber="7", StationName=3, AcquisitionDateTime=given
    )
    found = scanner_facts([tmp_path / "table.tsv", path])
    assert found == {"Manufacturer": "Maker", "DeviceSerialNumber": "7"} | (
        {"AcquisitionDateTime": kept} if kept else {}
    )


def test_time_of_scans_tsv_is_that_of_the_image(tmp_path):
    path = image_in(tmp_path)
    rows = [
        "filename\tacq_time",
        "anat/other.nii.gz\t2020-01-01T00:00:00",
        f"anat/{path.name}\t2021-02-03T04:05:06",
    ]
    (tmp_path / "sub-01" / "sub-01_scans.tsv").write_text("\n".join(rows) + "\n")
    assert scanner_facts([path]) == {"AcquisitionDateTime": "2021-02-03T04:05:06"}


def test_absent_and_damaged_sidecars_give_nothing(tmp_path):
    path = image_in(tmp_path)
    assert scanner_facts([path]) == {}
    path.with_name("sub-01_part-mag_MEGRE.json").write_text("{")
    assert scanner_facts([path]) == {}
    assert scanner_facts([]) == {}
