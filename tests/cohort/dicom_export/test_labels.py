"""DICOM objects of label images and region tables."""

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("highdicom")

import highdicom
import pydicom

import qsmengine as qe
from qsmengine.errors import InputError
from qsmengine.io.dicom_objects.anatomy import structure
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.files import tabulate_regions
from tests.cohort.dicom_export.acquired import (
    ORIENTATIONS,
    SHAPE,
    chi_map,
    complaints,
    grid_of,
    make_study,
    write_map,
)

GRID = grid_of(ORIENTATIONS["oblique"])
TABLE = (
    "index\tname\themisphere\n11\tcaudate\tleft\n50\tcaudate\tright\n16\tbrainstem\tmidline\n9\tputamen\tleft\n"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), "oblique")


@pytest.fixture
def dseg(tmp_path):
    labels = np.zeros(SHAPE, np.int32)
    labels[2:5, 2:4, 1:3], labels[6:9, 2:6, 1:3], labels[10, 8, 1] = 11, 50, 16
    path = write_map(tmp_path / "sub-01_desc-dgm_dseg.nii.gz", labels, GRID)
    path.with_name("sub-01_desc-dgm_dseg.tsv").write_text(TABLE)
    return path, labels


def test_labels_become_segments_with_codes_and_sides(tmp_path, study, dseg):
    path, labels = dseg
    qe.export_dicom([path], study.folder, tmp_path / "out")
    file = tmp_path / "out" / "sub-01_desc-dgm_dseg_seg.dcm"
    assert complaints(file) == []
    seg = highdicom.seg.segread(file)
    found = {}
    for number in seg.segment_numbers:
        item = seg.get_segment_description(number)
        kind = item.segmented_property_type
        side = kind.get("SegmentedPropertyTypeModifierCodeSequence")
        volume = seg.get_volume(segment_numbers=[number], combine_segments=True)
        found[item.segment_label] = (
            kind.meaning,
            side[0].CodeMeaning if side else None,
            int((volume.array > 0).sum()),
        )
    assert found == {
        "left caudate": ("Caudate Nucleus", "Left", int((labels == 11).sum())),
        "right caudate": ("Caudate Nucleus", "Right", int((labels == 50).sum())),
        "brainstem": ("Brain Stem", None, 1),
    }


def test_segment_lies_where_its_label_does(tmp_path, study, dseg):
    path, labels = dseg
    qe.export_dicom([path], study.folder, tmp_path / "out")
    seg = highdicom.seg.segread(tmp_path / "out" / "sub-01_desc-dgm_dseg_seg.dcm")
    names = [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]
    volume = seg.get_volume(segment_numbers=[1 + names.index("brainstem")], combine_segments=True)
    (voxel,) = np.argwhere(volume.array)
    there = volume.affine @ [*voxel, 1]
    (index,) = np.argwhere(labels == 16)
    np.testing.assert_allclose((GRID.affine @ [*index, 1])[:3] * [-1, -1, 1], there[:3], atol=1e-3)


def test_mask_becomes_one_segment(tmp_path, study):
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:8, 3:8] = 1
    path = write_map(tmp_path / "sub-01_desc-brain_mask.nii.gz", mask, GRID)
    qe.export_dicom([path], study.folder, tmp_path / "out")
    file = tmp_path / "out" / "sub-01_desc-brain_mask_seg.dcm"
    seg = highdicom.seg.segread(file)
    assert [item.segment_label for item in seg.SegmentSequence and [seg.get_segment_description(1)]] == [
        "brain"
    ]
    assert int(seg.get_volume(combine_segments=True).array.sum()) == mask.sum()
    assert complaints(file) == []


def test_structures_are_found_by_name():
    assert structure("pallidum").meaning == "Globus Pallidus"
    assert structure("accumbens").value == "427667007"
    assert structure("vessel") is None


def test_region_table_becomes_a_report(tmp_path, study, dseg):
    path, _ = dseg
    chi, _ = chi_map(tmp_path, GRID)
    table_path = tmp_path / "sub-01_stats.tsv"
    labels = load_label_table(path.with_name("sub-01_desc-dgm_dseg.tsv"))
    maps, units = {"chi": chi, "mine": chi}, {"chi": "ppm", "mine": "ppm"}
    table = tabulate_regions(path, labels, maps, table_path, units=units)
    done = qe.export_dicom([table_path], study.folder, tmp_path / "out")
    assert any("mine left out" in note for note in done.notes)
    file = tmp_path / "out" / "sub-01_stats_sr.dcm"
    assert complaints(file) == []
    report: Any = highdicom.sr.srread(file).content
    groups = report.get_image_measurement_groups()
    sizes = {"right caudate": "right", "left caudate": "left"}
    checked = 0
    for group in groups:
        row = table[(table.region == "caudate") & (table.hemisphere == sizes.get(group.tracking_identifier))]
        for one in group.get_measurements() if len(row) else ():
            derivation = one.derivation.meaning if one.derivation else None
            column = {"Mean": "chi_mean", "Standard Deviation": "chi_sd", None: "volume_mm3"}.get(derivation)
            if column:
                assert one.value == pytest.approx(float(row[column].iloc[0]), rel=1e-9)
                assert one.unit.value == ("mm3" if column == "volume_mm3" else "[ppm]")
                checked += 1
    assert checked == 6


def test_table_without_regions_or_units_is_refused(tmp_path, study):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"t\.tsv.*not a region table"):
        qe.export_dicom([path], study.folder, tmp_path / "out")
    path.write_text("region\themisphere\tchi_mean\ncaudate\tleft\t0.1\n")
    path.with_suffix(".json").write_text(json.dumps({"chi_mean": {}}))
    with pytest.raises(InputError, match="no Units of chi_mean"):
        qe.export_dicom([path], study.folder, tmp_path / "out")
    path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppm"}}))
    qe.export_dicom([path], study.folder, tmp_path / "out")
    assert pydicom.dcmread(tmp_path / "out" / "t_sr.dcm").Modality == "SR"
