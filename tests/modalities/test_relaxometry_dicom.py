"""Several flip angles and spin echoes among DICOM series."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsmengine.cohort.dicom_import.recognise import recognise
from qsmengine.io.dicom import Converted
from qsmengine.modalities.dicom import Recognised, Scan
from qsmengine.modalities.mese.dicom import DICOM as MESE
from qsmengine.modalities.vfa.dicom import DICOM as VFA


def scan(series, description, *, flip=15.0, time=0.005, sequence="GR", phase=False, **fields):
    own = {"SeriesNumber": series, "SeriesDescription": description, "EchoTime": time, "FlipAngle": flip,
           "ImageType": ["ORIGINAL", "P" if phase else "M"], "ScanningSequence": sequence}  # fmt: skip
    return Scan(Converted(Path(f"{series}_{flip}_{time}.nii.gz"), {**own, **fields}))


def kinds(scans):
    found = [recognise(one, scans) for one in scans]
    return [one.kind if isinstance(one, Recognised) else "" for one in found]


def names(series, scans):
    return [one.name.filename for one in series.names([Recognised(one, "") for one in scans], {"sub": "1"}, [])]


@pytest.mark.parametrize("description", ["t1map_fl3d", "FLASH FA15", "VFA spgr", "mpm_pdw", "DESPOT1 spgr"])
def test_familiar_names_with_several_flip_angles_are_a_series(description):
    assert (
        kinds([scan(number, description, flip=flip) for number, flip in ((2, 4.0), (3, 20.0))]) == ["vfa"] * 2
    )


def test_one_flip_angle_other_sequences_and_magnetisation_transfer_are_not():
    assert "vfa" not in kinds([scan(2, "vfa", flip=4.0), scan(3, "vfa", flip=4.0)])
    assert "vfa" not in kinds([scan(2, "gre_qsm", flip=4.0), scan(3, "t2star_flash", flip=20.0)])
    assert "vfa" not in kinds([scan(n, "t1map", flip=5.0 * n, sequence="EP") for n in (2, 3)])
    assert kinds([scan(2, "mpm_pdw", flip=6.0), scan(3, "mpm_t1w", flip=21.0), scan(4, "mpm_mt", flip=12.0)])[
        :2
    ] == [
        "vfa",
        "vfa",
    ]
    assert "vfa" not in kinds([scan(4, "mpm_mt", flip=6.0), scan(5, "mpm_mtw", flip=9.0)])


def test_flip_angles_echoes_parts_and_runs_are_named():
    images = [scan(3, "vfa", flip=flip, time=time) for flip in (20.0, 4.0) for time in (0.02, 0.005)]
    assert names(VFA, images) == [f"sub-1_echo-{e}_flip-{f}_VFA.nii.gz" for f in (2, 1) for e in (2, 1)]
    pair = [scan(3, "vfa", flip=4.0), scan(4, "vfa", flip=4.0, phase=True), scan(5, "vfa", flip=20.0)]
    assert names(VFA, pair) == [
        "sub-1_flip-1_part-mag_VFA.nii.gz",
        "sub-1_flip-1_part-phase_VFA.nii.gz",
        "sub-1_flip-2_part-mag_VFA.nii.gz",
    ]
    twice = [scan(number, "vfa", flip=flip) for number, flip in ((3, 4.0), (4, 20.0), (5, 4.0), (6, 20.0))]
    assert names(VFA, twice) == [f"sub-1_run-{r}_flip-{f}_VFA.nii.gz" for r in (1, 2) for f in (1, 2)]


def test_four_spin_echoes_of_a_series_are_a_train():
    train = [scan(3, "T2 map", time=0.01 * k, sequence="SE") for k in (2, 1, 4, 3)]
    assert kinds(train) == ["mese"] * 4
    assert names(MESE, train) == [f"sub-1_echo-{k}_MESE.nii.gz" for k in (1, 2, 3, 4)]
    assert "mese" not in kinds(train[:3])
    assert "mese" not in kinds([scan(3, "epi", time=0.01 * k, sequence="SE\\EP") for k in (1, 2, 3, 4)])
    runs = [scan(number, "T2 map", time=0.01, sequence="SE") for number in (3, 4)]
    assert names(MESE, runs) == [f"sub-1_run-{run}_echo-1_MESE.nii.gz" for run in (1, 2)]
