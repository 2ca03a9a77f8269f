"""What a converted image is, beyond what real DICOM files of one vendor show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsmengine.cohort.dicom_import.recognise import recognise
from qsmengine.grid import Grid
from qsmengine.io.dicom import Converted
from qsmengine.io.nifti import write_image
from qsmengine.modalities.dicom import Recognised, Scan

PROTOCOL = {"EchoTime1": 0.005, "EchoTime2": 0.010}


@pytest.fixture
def converted(tmp_path):
    def _converted(name, series, part, echo_time, description, **more):
        path = tmp_path / f"{name}.nii.gz"
        write_image(path, np.ones((6, 6, 6), np.float32), Grid.from_voxel_size((6, 6, 6), (1.0, 1.0, 1.0)))
        fields = {"SeriesNumber": series, "ImageType": ["ORIGINAL", "PRIMARY", part], "EchoTime": echo_time,
                  "SeriesDescription": description, "ScanningSequence": "GR", **PROTOCOL, **more}  # fmt: skip
        return Converted(Path(path), fields)

    return _converted


def parts(images):
    scans = [Scan(image) for image in images]
    found = [recognise(scan, scans) for scan in scans]
    return [(one.kind, one.scan.part) if isinstance(one, Recognised) else one.reason for one in found]


@pytest.mark.parametrize("one_series", [True, False])
def test_a_multi_echo_series_keeps_its_phase_whatever_its_protocol_lists(converted, one_series):
    times = (0.005, 0.010, 0.015)
    images = [
        converted(
            f"{part}{e}", (1 if part == "M" else 2) if one_series else 10 * e + (part == "P"), part, time, "qsm"
        )
        for part in "MP"
        for e, time in enumerate(times)
    ]
    assert parts(images) == [("gre", "mag")] * 3 + [("gre", "phase")] * 3


def test_a_field_map_is_left_aside_with_its_magnitudes(converted):
    images = [
        converted("m1", 7, "M", 0.005, "gre_field_mapping"),
        converted("m2", 7, "M", 0.010, "gre_field_mapping"),
        converted("p", 8, "P", 0.010, "gre_field_mapping"),
    ]
    assert parts(images) == ["magnitude of a field map"] * 2 + ["phase difference of a field map"]


def test_a_single_echo_with_a_second_time_in_its_protocol_keeps_its_phase(converted):
    images = [converted("m", 1, "M", 0.005, "swi"), converted("p", 2, "P", 0.005, "swi")]
    assert parts(images) == [("gre", "mag"), ("gre", "phase")]


def test_a_field_map_beside_a_multi_echo_series_takes_nothing_from_it(converted):
    gre = [
        converted(f"{part}{e}", 1 + (part == "P"), part, 0.005 * (e + 1), "qsm")
        for part in "MP"
        for e in range(3)
    ]
    fmap = [converted(f"f{e}", 5, "M", 0.005 * (e + 1), "fieldmap") for e in range(2)]
    images = [*gre, *fmap, converted("fp", 6, "P", 0.010, "fieldmap")]
    assert [part for part in parts(images) if isinstance(part, tuple)] == [("gre", "mag")] * 3 + [
        ("gre", "phase")
    ] * 3
