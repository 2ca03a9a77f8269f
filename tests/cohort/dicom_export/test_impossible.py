"""Exports whose units, values or tables cannot be right: refused before an archive has them, or noted."""

import json

import numpy as np
import pytest

pytest.importorskip("highdicom")

import qsmengine as qe
from qsmengine.errors import InputError
from tests.cohort.dicom_export.acquired import ORIENTATIONS, SHAPE, chi_map, grid_of, make_study, write_map

GRID = grid_of(ORIENTATIONS["axial"])
TABLE = "region\themisphere\tvolume_mm3\tchi_mean\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study")).folder


def outlier(chi):
    return np.where(chi == chi.max(), np.float32(1e6), chi)


@pytest.mark.parametrize(
    ("name", "change", "unit", "message"),
    [
        (
            "Chimap",
            lambda chi: 1000 * chi,
            "ppm",
            r"Units: the median magnitude is .* ppm, which Magnetic",
        ),
        ("Chimap", lambda chi: chi, "Hz", "Units: 'Hz', but Magnetic Susceptibility is measured in ppm or ppb"),
        ("FA", lambda chi: 1000 * abs(chi), "1", "which Fractional Anisotropy does not have"),
        ("R2starmap", abs, "1/s", r"which R2\* does not have"),
        ("Chimap", lambda chi: 0 * chi, "ppm", "is 0 everywhere"),
        ("Chimap", outlier, "ppm", "steps of 50000, which 16 bits allow, do not resolve them"),
    ],
)
def test_maps_that_no_image_can_be_are_refused(tmp_path, study, name, change, unit, message):
    _, chi = chi_map(tmp_path, GRID)
    path = write_map(tmp_path / f"sub-01_{name}.nii.gz", change(chi).astype(np.float32), GRID, Units=unit)
    with pytest.raises(InputError, match=message):
        qe.export_dicom([path], study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stated_parts_per_billion_are_taken_as_they_are(tmp_path, study):
    _, chi = chi_map(tmp_path, GRID)
    path = write_map(tmp_path / "sub-01_Chimap.nii.gz", 1000 * chi, GRID, Units="ppb")
    assert len(qe.export_dicom([path], study, tmp_path / "out").objects) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("caudate\tleft\tinf\t0.05\n", "volume_mm3: 'inf' is not possible"),
        ("caudate\tleft\t-5\t0.05\n", "volume_mm3: '-5' is not possible"),
        ("caudate\tL\t5\t0.05\n", "hemisphere: 'L' of caudate is not one of left, right, bilateral, midline"),
        ("caudate\tn/a\t5\t0.05\n", "hemisphere: 'n/a' of caudate is not one of"),
        ("caudate\tleft\t5\t0.05\n" * 2, r"region: caudate \(left\) has more than one row"),
    ],
)
def test_region_tables_that_cannot_be_are_refused(tmp_path, study, rows, message):
    table = tmp_path / "sub-01_stats.tsv"
    table.write_text(TABLE + rows)
    with pytest.raises(InputError, match=r"no data dictionary sub-01_stats\.json next to the table"):
        qe.export_dicom([table], study, tmp_path / "out")
    table.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppm"}}))
    with pytest.raises(InputError, match=message):
        qe.export_dicom([table], study, tmp_path / "out")


def test_labels_without_a_name_are_counted_and_empty_masks_refused(tmp_path, study):
    labels = np.zeros(SHAPE, np.int32)
    labels[2:5, 2:4, 1], labels[8, :3, 2] = 11, 12
    path = write_map(tmp_path / "sub-01_dseg.nii.gz", labels, GRID)
    path.with_name("sub-01_dseg.tsv").write_text("index\tname\n11\tcaudate\n")
    notes = qe.export_dicom([path], study, tmp_path / "out").notes
    assert [note for note in notes if "3 voxels left out: their labels [12]" in note]
    mask = write_map(tmp_path / "sub-01_desc-brain_mask.nii.gz", np.zeros(SHAPE, np.uint8), GRID)
    with pytest.raises(InputError, match="is empty: no voxel differs from 0"):
        qe.export_dicom([mask], study, tmp_path / "out")
