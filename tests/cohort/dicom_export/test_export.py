"""DICOM objects of maps: geometry, values, codes, identity, and what is refused."""

import json
import subprocess

import numpy as np
import pytest

pytest.importorskip("highdicom")

import highdicom
import pydicom

import qsmengine as qe
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import LPS, Grid
from qsmengine.io.dicom_objects.planes import image_planes
from qsmengine.io.nifti import read_image, write_image
from tests.cohort.dicom_export.acquired import (
    ORIENTATIONS,
    SHAPE,
    chi_map,
    complaints,
    grid_of,
    make_study,
    placed,
    write_map,
)
from tests.cohort.dicom_import.enhanced_making import EnhancedStudy
from tests.cohort.dicom_making import IDENTITY, Study

AXIAL = grid_of(ORIENTATIONS["axial"])
PM, MR = "sub-01_Chimap_pm.dcm", "sub-01_Chimap_mr"


@pytest.fixture(scope="module")
def axial(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("axial"))


def slices(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_map_keeps_values_and_place_in_every_orientation(tmp_path, name):
    dcm2niix = pytest.importorskip("dcm2niix")
    study = make_study(tmp_path / "dicom", name)
    grid = grid_of(ORIENTATIONS[name])
    path, chi = chi_map(tmp_path, grid)
    qe.export_dicom([path], study.folder, tmp_path / "out")
    images = sorted((tmp_path / "out" / MR).glob("*.dcm"))
    assert [text for file in (tmp_path / "out" / PM, images[0], images[-1]) for text in complaints(file)] == []

    back = tmp_path / "back"
    back.mkdir()
    command = [dcm2niix.bin, "-b", "n", "-z", "n", "-f", "x", "-o", str(back), str(tmp_path / "out" / MR)]
    subprocess.run(command, capture_output=True, check=True)
    read = read_image(back / "x.nii")
    ours, theirs = (image_planes(one, grid.axes) for one in (grid, read.grid))
    assert ours.grid.distance(theirs.grid) < 1e-3
    half = float(slices(tmp_path / "out" / MR)[0].RescaleSlope) / 2
    assert np.abs(ours.frames(chi) * 1000.0 - theirs.frames(read.array)).max() <= half * 1.001

    volume = highdicom.imread(tmp_path / "out" / PM).get_volume(dtype=np.float32)
    affine = LPS @ volume.affine[:, [2, 1, 0, 3]]
    found = image_planes(Grid(volume.array.shape[::-1], affine), grid.axes)
    assert ours.grid.distance(found.grid) < 1e-3
    np.testing.assert_array_equal(found.frames(volume.array.T), ours.frames(chi))


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_images_lie_as_those_of_the_source(tmp_path, name):
    study = make_study(tmp_path / "dicom", name)
    path, _ = chi_map(tmp_path, grid_of(ORIENTATIONS[name]))
    qe.export_dicom([path], study.folder, tmp_path / "out", form="mr")
    source = pydicom.dcmread(study.folder / "s002_i0003.dcm")
    made = slices(tmp_path / "out" / MR)[2]
    np.testing.assert_allclose(made.ImageOrientationPatient, source.ImageOrientationPatient, atol=1e-9)
    np.testing.assert_allclose(made.ImagePositionPatient, source.ImagePositionPatient, atol=1e-6)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


@pytest.mark.parametrize(
    ("axes", "orientation"),
    [
        (np.eye(3), [1, 0, 0, 0, 1, 0]),
        (np.eye(3)[:, [1, 2, 0]], [0, 1, 0, 0, 0, -1]),
        (np.eye(3)[:, [0, 2, 1]], [1, 0, 0, 0, 0, -1]),
        (np.diag([-1.0, 1, -1])[:, [1, 0, 2]], [1, 0, 0, 0, 1, 0]),
    ],
)
def test_images_of_another_grid_are_shown_as_radiologists_view_them(axes, orientation):
    affine = np.eye(4)
    affine[:3, :3] = axes
    planes = image_planes(Grid((5, 6, 7), affine), ORIENTATIONS["oblique"])
    np.testing.assert_allclose(planes.orientation, orientation, atol=1e-12)
    assert planes.grid.handedness == 1
    array = np.random.default_rng(0).random((5, 6, 7))
    index = (3, 2, 4)  # column, row, slice
    there = planes.grid.affine @ [*index, 1]
    original = np.rint(np.linalg.inv(affine) @ there)[:3].astype(int)
    assert planes.frames(array)[index[::-1]] == array[tuple(original)]


def test_parametric_map_has_code_unit_and_bits_of_the_map(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    done = qe.export_dicom([path], axial.folder, tmp_path / "out", form="parametric-map")
    assert [place.name for place in done.objects] == [PM]
    made = pydicom.dcmread(tmp_path / "out" / PM)
    stored = np.frombuffer(made.FloatPixelData, "<f4")
    assert np.array_equal(np.sort(stored.view(np.uint32)), np.sort(chi.ravel().view(np.uint32)))
    shared = made.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    unit, code = (
        mapping.MeasurementUnitsCodeSequence[0],
        mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0],
    )
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("[ppm]", "UCUM")
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == (
        "126396", "DCM", "Magnetic Susceptibility",
    )  # fmt: skip
    window = shared.FrameVOILUTSequence[0]
    assert float(window.WindowCenter) == 0
    assert float(window.WindowWidth) == pytest.approx(0.2)
    assert made.RecognizableVisualFeatures == "NO"


def test_identity_comes_from_the_source_and_identifiers_from_the_content(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    qe.export_dicom([path], axial.folder, first)
    qe.export_dicom([path], axial.folder, again)
    files = [file.relative_to(first) for file in sorted(first.rglob("*.dcm"))]
    assert len(files) == 1 + SHAPE[2]
    assert all((first / file).read_bytes() == (again / file).read_bytes() for file in files)

    source = pydicom.dcmread(axial.folder / "s002_i0001.dcm")
    made = [pydicom.dcmread(first / file) for file in files]
    for one in made:
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
            assert one[keyword].value == source[keyword].value
        assert one.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
    assert len({one.SOPInstanceUID for one in made}) == len(made)
    assert sorted({int(one.SeriesNumber) for one in made}) == [1002, 2002]
    assert IDENTITY["PatientID"] not in str(files)

    chi[5, 5, 0] += 1e-3
    write_image(path, chi, AXIAL)
    qe.export_dicom([path], axial.folder, other)
    changed = [pydicom.dcmread(other / file) for file in files]
    assert not {one.SOPInstanceUID for one in changed} & {one.SOPInstanceUID for one in made}


def test_all_slices_share_scale_and_window(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    chi[..., 3] *= 20
    write_image(path, chi, AXIAL)
    for bits, signed, low, high in ((16, 1, -32767, 32767), (12, 0, 0, 4095)):
        qe.export_dicom([path], axial.folder, tmp_path / str(bits), form="mr", bits=bits)
        made = slices(tmp_path / str(bits) / MR)
        keywords = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "RescaleType")
        assert len({tuple(str(one[keyword].value) for keyword in keywords) for one in made}) == 1
        assert (made[0].BitsStored, made[0].PixelRepresentation) == (bits, signed)
        assert list(made[0].ImageType) == ["DERIVED", "SECONDARY", "OTHER", "QSM"]
        assert (float(made[0].WindowCenter), float(made[0].WindowWidth)) == (0, 200)
        pixels = np.stack([one.pixel_array for one in made])
        assert low <= pixels.min() < pixels.max() <= high
        values = pixels * float(made[0].RescaleSlope) + float(made[0].RescaleIntercept)
        wanted = image_planes(AXIAL, np.diag([-1.0, -1, 1])).frames(chi) * 1000.0
        assert np.abs(values - wanted).max() <= float(made[0].RescaleSlope) * 0.501
        assert np.all(values[wanted == 0] == 0)
        assert complaints(tmp_path / str(bits) / MR / "0001.dcm") == []


def test_map_on_another_grid_of_the_same_space(tmp_path, axial):
    affine = np.array([[0.7, 0, 0, -5], [0, 0.7, 0, -5.5], [0, 0, 1.0, -3.5], [0, 0, 0, 1]])
    grid = Grid((14, 16, 7), affine)
    fa = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    path = write_map(tmp_path / "dti_FA.nii.gz", fa, grid, Units="1")
    done = qe.export_dicom([path], axial.folder, tmp_path / "out")
    assert "in the frame of reference of series 2 (gre)" in done.notes[0]
    made = slices(tmp_path / "out" / "dti_FA_mr")
    assert (len(made), made[0].RescaleType, "SourceImageSequence" in made[0]) == (7, "1/1000", False)
    volume = highdicom.imread(tmp_path / "out" / "dti_FA_pm.dcm").get_volume(dtype=np.float32)
    assert sorted(volume.array.ravel().tolist()) == sorted(fa.ravel().tolist())
    files = [tmp_path / "out" / "dti_FA_pm.dcm", tmp_path / "out" / "dti_FA_mr" / "0001.dcm"]
    assert [text for file in files for text in complaints(file)] == []


@pytest.mark.parametrize("empty", [False, True])
def test_enhanced_and_deidentified_sources(tmp_path, empty):
    study = EnhancedStudy(tmp_path / "dicom", "Philips Medical Systems")
    shape = (12, 10, 8)
    volumes = {
        (0, part, time): np.ones(shape, np.uint16) for part in ("MAGNITUDE", "PHASE") for time in (5.0, 9.0)
    }
    file = study.write(volumes)
    if empty:
        dataset = pydicom.dcmread(file)
        for keyword in ("PatientName", "StudyDate", "StudyTime"):
            del dataset[keyword]
        dataset.save_as(file)
    affine = LPS @ np.array([[1.0, 0, 0, -6], [0, 1.5, 0, -7.5], [0, 0, 2, -4], [0, 0, 0, 1]])
    path, _chi = chi_map(tmp_path, Grid(shape, affine))
    done = qe.export_dicom([path], study.folder, tmp_path / "out")
    assert "on the grid" in done.notes[0]
    made = slices(tmp_path / "out" / MR)
    assert len(made) == 8
    assert made[0].SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(file).SOPInstanceUID
    assert [
        text for one in (tmp_path / "out" / PM, tmp_path / "out" / MR / "0008.dcm") for text in complaints(one)
    ] == []


def refused(error, pattern, tmp_path, path, source, **options):
    with pytest.raises(error, match=pattern):
        qe.export_dicom([path], source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_named(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    source = axial.folder
    series = write_map(tmp_path / "a_Chimap.nii.gz", np.stack([chi, chi], -1), AXIAL, Units="ppm")
    refused(InputError, r"a_Chimap.*\(12, 10, 4, 2\).*Colour FA", tmp_path, series, source)
    unknown = write_map(tmp_path / "a_magic.nii.gz", chi, AXIAL, Units="ppm")
    refused(InputError, "a_magic.*unknown quantity.*--quantity", tmp_path, unknown, source)
    refused(UsageError, "did you mean 'chi'", tmp_path, unknown, source, quantity="chii")
    refused(UsageError, "need CODE:SCHEME:MEANING", tmp_path, unknown, source, quantity="1:2")
    uncoded = write_map(tmp_path / "b_desc-sd_Chimap.nii.gz", chi, AXIAL, Units="ppm")
    refused(InputError, "standard deviation .* no standard DICOM code", tmp_path, uncoded, source)
    unitless = write_map(tmp_path / "c_Chimap.nii.gz", chi, AXIAL)
    refused(InputError, "c_Chimap.*Units: not found.*--unit", tmp_path, unitless, source)
    refused(
        InputError, "c_Chimap.*'furlong' has no known UCUM code", tmp_path, unitless, source, unit="furlong"
    )
    chi[6, 6, 1] = np.inf
    infinite = write_map(tmp_path / "d_Chimap.nii.gz", chi, AXIAL, Units="ppm")
    refused(InputError, "d_Chimap.*infinite", tmp_path, infinite, source)
    sheared = AXIAL.affine.copy()
    sheared[0, 1] += 0.3
    tilted, _ = chi_map(tmp_path, Grid(SHAPE, sheared))
    refused(InputError, "not perpendicular", tmp_path, tilted, source)
    labels = write_map(tmp_path / "e_dseg.nii.gz", np.ones(SHAPE, np.int32), AXIAL)
    refused(InputError, "no label table e_dseg.tsv.*--lut", tmp_path, labels, source)
    refused(InputError, "no such folder", tmp_path, labels, tmp_path / "gone", lut="freesurfer-aseg")
    refused(UsageError, "must be 12 or 16", tmp_path, path, source, bits=8)
    refused(UsageError, "'jpeg': must be one of", tmp_path, path, source, form="jpeg")
    with pytest.raises(UsageError, match="lies inside the DICOM source"):
        qe.export_dicom([path], source, source / "out")


def test_map_of_another_place_or_study_is_refused(tmp_path, axial):
    away = AXIAL.affine.copy()
    away[:3, 3] += 40
    path, _ = chi_map(tmp_path, Grid(SHAPE, away))
    refused(InputError, "does not overlap", tmp_path, path, axial.folder)
    path, _ = chi_map(tmp_path, AXIAL)
    template = write_map(
        tmp_path / "sub-01_space-MNI152NLin2009cAsym_Chimap.nii.gz", np.ones(SHAPE), AXIAL, Units="ppm"
    )
    refused(InputError, "space-MNI.*lies in template space", tmp_path, template, axial.folder)
    write_image(tmp_path / "t_Chimap.nii.gz", np.ones(SHAPE), AXIAL, xform_code=4)
    refused(
        InputError, "sform_code: lies in template space", tmp_path, tmp_path / "t_Chimap.nii.gz", axial.folder
    )
    two = make_study(tmp_path / "two")
    Study(two.folder / "other").write(description="loc")
    refused(InputError, "2 studies in one folder.*other/s001", tmp_path, path, two.folder)
    moved = make_study(tmp_path / "moved")
    moved.write(
        description="repeat", edit=placed(ORIENTATIONS["axial"], SHAPE[2]), FrameOfReferenceUID="1.2.3.4"
    )
    refused(InputError, r"series 3 \(repeat\).*frame of reference", tmp_path, path, moved.folder)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.txt").write_text("x")
    refused(InputError, "no volume of MR images", tmp_path, path, tmp_path / "none")


def test_files_without_a_place_are_left_out_with_a_note(tmp_path):
    study = make_study(tmp_path / "dicom")
    study.write(description="dwi", image_type=("ORIGINAL", "PRIMARY", "M", "MOSAIC"), shape=(24, 20, 2))
    study.write(description="broken", edit=lambda dataset, _: dataset.__delattr__("PixelSpacing"))
    (study.folder / "cut.dcm").write_bytes((study.folder / "s001_i0001.dcm").read_bytes()[:400])
    path, _ = chi_map(tmp_path, AXIAL)
    done = qe.export_dicom([path], study.folder, tmp_path / "out", form="mr")
    assert any("2 files left out (mosaic" in note for note in done.notes)
    assert any("4 files left out (AttributeError" in note for note in done.notes)


def test_stated_quantity_and_unit(tmp_path, axial):
    _, chi = chi_map(tmp_path, AXIAL)
    path = write_map(tmp_path / "mine.nii.gz", chi, AXIAL)
    code = "110807:DCM:Field Map MR Signal Intensity"
    qe.export_dicom([path], axial.folder, tmp_path / "out", form="mr", quantity=code, unit="Hz")
    made = slices(tmp_path / "out" / "mine_mr")[0]
    assert made.SeriesDescription == "Field Map MR Signal Intensity [Hz]"
    assert complaints(tmp_path / "out" / "mine_mr" / "0001.dcm") == []
    qe.export_dicom([path], axial.folder, tmp_path / "out", form="mr", quantity="chi", unit="ppb", force=True)
    assert slices(tmp_path / "out" / "mine_mr")[0].RescaleType == "ppb"


def test_existing_files_need_force_and_old_slices_disappear(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    out = tmp_path / "out"
    qe.export_dicom([path], axial.folder, out, form="mr")
    with pytest.raises(UsageError, match="--force"):
        qe.export_dicom([path], axial.folder, out, form="mr")
    short = Grid((12, 10, 2), AXIAL.affine)
    write_image(path, chi[..., :2], short)
    qe.export_dicom([path], axial.folder, out, form="mr", force=True)
    assert len(list((out / MR).iterdir())) == 2


def test_nan_is_exported_as_zero(tmp_path, axial):
    path, chi = chi_map(tmp_path, AXIAL)
    chi[:2] = np.nan
    write_image(path, chi, AXIAL)
    done = qe.export_dicom([path], axial.folder, tmp_path / "out", form="mr")
    assert any("240" not in note and "80 NaN values" in note for note in done.notes)
    json.loads((tmp_path / "sub-01_Chimap.json").read_text())
