from pathlib import Path

import numpy as np
import pytest

from qsmengine.cohort.dicom_import.recognise import recognise
from qsmengine.grid import Grid
from qsmengine.io.dicom import Converted
from qsmengine.io.nifti import write_image
from qsmengine.modalities.dicom import Recognised, Scan
from qsmengine.modalities.dsc.dicom import DICOM


@pytest.fixture
def scan(tmp_path):
    def _scan(name, series, description, frames=24, echo_time=0.03, **fields):
        shape = (6, 6, 4, frames) if frames > 1 else (6, 6, 4)
        path = tmp_path / f"{name}.nii.gz"
        write_image(path, np.ones(shape, np.float32), Grid.from_voxel_size((6, 6, 4), (2.0, 2.0, 4.0)))
        own = {"SeriesNumber": series, "SeriesDescription": description, "EchoTime": echo_time,
               "ImageType": ["ORIGINAL", "PRIMARY", "M"], "ScanningSequence": "EP"}  # fmt: skip
        return Scan(Converted(Path(path), {**own, **fields}))

    return _scan


@pytest.mark.parametrize(
    ("description", "frames", "fields", "kind"),
    [
        ("ep2d_perf", 24, {}, "dsc"),
        ("EPI dynamic", 24, {"ContrastBolusIngredient": "GADOLINIUM"}, "dsc"),
        ("DSC PWI", 19, {}, ""),
        ("relCBV perfusion", 1, {}, ""),
        ("pcasl perfusion", 60, {}, ""),
        ("resting state", 200, {}, ""),
    ],
)
def test_many_frames_with_an_agent_or_a_familiar_name_are_a_bolus_series(
    scan, description, frames, fields, kind
):
    one = scan("a", 3, description, frames, **fields)
    found = recognise(one, [one])
    assert (found.kind if isinstance(found, Recognised) else "") == kind


def test_echoes_and_runs_are_named(scan):
    images = [
        Recognised(scan(f"{series}{time}", series, "perf", echo_time=time), "dsc")
        for series in (4, 9)
        for time in (0.05, 0.02)
    ]
    names = [one.name.filename for one in DICOM.names(images, {"sub": "1"}, [])]
    assert names == [f"sub-1_run-{run}_echo-{echo}_dsc.nii.gz" for run in (1, 2) for echo in (1, 2)]
    single = [one.name.filename for one in DICOM.names(images[:1], {"sub": "1"}, [])]
    assert single == ["sub-1_dsc.nii.gz"]
