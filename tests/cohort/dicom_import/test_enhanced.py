"""Enhanced DICOM of several dimensions becomes the echoes, parts and repetitions that it holds."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest

from qsmengine.cohort.dicom_import.convert import import_dicom
from qsmengine.errors import InputError
from qsmengine.io import read_image
from tests.cohort.dicom_import.enhanced_making import SHAPE, EnhancedStudy

TIMES = (6.0, 14.0)


def volumes(rng, parts=("MAGNITUDE", "PHASE"), repetitions=1):
    keys = [(r, part, time) for r in range(repetitions) for part in parts for time in TIMES]
    return {key: rng.integers(0, 4096, SHAPE).astype(np.uint16) for key in keys}


def check(folder, name, stored, scale=(1, 0), *, echo_time):
    values = read_image(folder / f"{name}.nii.gz").array
    expected = stored.astype(np.float32) * scale[0] + scale[1]
    np.testing.assert_array_equal(values, expected[::-1, ::-1])
    assert json.loads((folder / f"{name}.json").read_text())["EchoTime"] == pytest.approx(echo_time / 1000)


@pytest.mark.parametrize("maker", ["Siemens Healthineers", "Philips", "GE MEDICAL SYSTEMS", "UIH", "CANON_MEC"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("repetitions", [1, 2])
def test_echoes_parts_and_repetitions_are_told_apart(tmp_path, rng, maker, together, repetitions):
    study = EnhancedStudy(tmp_path / "dicom", maker)
    stored = volumes(rng, repetitions=repetitions)
    if together:
        study.write(stored)
    else:
        for part in ("MAGNITUDE", "PHASE"):
            study.write({key: value for key, value in stored.items() if key[1] == part})
    done = import_dicom(study.folder, tmp_path / "bids", "01")
    assert done.left_out == ()
    assert sum(name.endswith(".nii.gz") for name in done.files) == 4 * repetitions
    anat = tmp_path / "bids" / "sub-01" / "anat"
    for (repetition, part, time), values in stored.items():
        run = f"_run-{repetition + 1}" if repetitions > 1 else ""
        kind, scale = ("mag", (1, 0)) if part == "MAGNITUDE" else ("phase", (2, -4096))
        name = f"sub-01{run}_echo-{TIMES.index(time) + 1}_part-{kind}_MEGRE"
        check(anat, name, values, scale, echo_time=time)


def test_frames_that_form_no_volumes_are_refused(tmp_path, rng):
    study = EnhancedStudy(tmp_path / "dicom", "Philips")
    study.write(volumes(rng), drop=3)
    with pytest.raises(InputError, match=r"do not form complete volumes .* classic DICOM"):
        import_dicom(study.folder, tmp_path / "bids", "01")
    assert not (tmp_path / "bids").exists()


@pytest.mark.parametrize(
    "missing", ["PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "PixelData"]
)
def test_an_incomplete_enhanced_file_is_refused_with_a_way_on(tmp_path, rng, missing):
    study = EnhancedStudy(tmp_path / "dicom", "Philips")
    path = study.write(volumes(rng))
    dataset = pydicom.dcmread(path)
    del dataset[missing]
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"s3\.dcm: .*export"):
        import_dicom(study.folder, tmp_path / "bids", "01")
    assert not (tmp_path / "bids").exists()
