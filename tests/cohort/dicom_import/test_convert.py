import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("dcm2niix")

from qsmengine.cli.main import main
from qsmengine.cohort.dicom_import.convert import import_dicom
from qsmengine.errors import InputError, UsageError
from qsmengine.io import load_dwi, load_gre, read_image
from qsmengine.io.dicom import without_identity
from tests.cohort.dicom_making import IDENTITY, SPACING, Study
from tests.validator import errors


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "dicom")


@pytest.fixture
def bids(tmp_path):
    return tmp_path / "bids"


def texts(bids):
    """Everything written, images unpacked."""
    for path in sorted(bids.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path, gzip.decompress(data) if path.name.endswith(".gz") else data


def test_gradient_echoes_come_in_with_their_values_and_geometry(study, bids):
    magnitude, phase = study.gre(echo_times=(6.0, 14.0))
    done = import_dicom(study.folder, bids, "sub-01", "ses-a")
    anat = bids / "sub-01" / "ses-a" / "anat"
    names = [f"sub-01_ses-a_echo-{e}_part-{p}_MEGRE" for e in (1, 2) for p in ("mag", "phase")]
    assert {path.name for path in anat.iterdir()} == {f"{n}{e}" for n in names for e in (".nii.gz", ".json")}
    assert set(done.files) == {path.relative_to(bids).as_posix() for path in anat.iterdir()}
    loaded = load_gre(sorted(anat.glob("*part-mag*.nii.gz")), sorted(anat.glob("*part-phase*.nii.gz"))).series
    assert loaded.echo_times == (0.006, 0.014)
    assert loaded.grid.field_strength == 3.0
    np.testing.assert_allclose(sorted(loaded.grid.voxel_size), sorted(SPACING), rtol=1e-6)
    for echo in range(2):
        np.testing.assert_array_equal(
            np.sort(loaded.magnitude[..., echo].ravel()), np.sort(magnitude[echo].ravel())
        )
        radians = (2.0 * phase[echo].astype(float) - 4096) * np.pi / 4096
        np.testing.assert_allclose(
            np.sort(loaded.phase[..., echo].ravel()), np.sort(radians.ravel()), atol=1e-5
        )
    together = np.stack([loaded.magnitude[..., 0].ravel(), loaded.phase[..., 0].ravel()])
    wanted = np.stack([magnitude[0].ravel(), (2.0 * phase[0].ravel() - 4096) * np.pi / 4096])
    np.testing.assert_allclose(together[:, np.lexsort(together)], wanted[:, np.lexsort(wanted)], atol=1e-5)


def test_phase_units_say_what_the_values_are(study, bids):
    study.gre()
    done = import_dicom(study.folder, bids, "01")
    for path in (bids / "sub-01" / "anat").glob("*part-phase*.json"):
        assert json.loads(path.read_text())["Units"] == "arbitrary"
    for path in (bids / "sub-01" / "anat").glob("*part-mag*.json"):
        assert "Units" not in json.loads(path.read_text())
    assert "phase in the range siemens" in done.notes[0]


def sorted_values(path):
    return np.sort(read_image(path).array.ravel())


def test_real_and_imaginary_of_ge_are_told_apart(study, bids):
    volumes = study.ge()
    done = import_dicom(study.folder, bids, "01")
    for index, (echo, part) in enumerate((e, p) for e in (1, 2) for p in ("mag", "real", "imag")):
        path = bids / "sub-01" / "anat" / f"sub-01_echo-{echo}_part-{part}_MEGRE.nii.gz"
        np.testing.assert_array_equal(sorted_values(path), np.sort(volumes[index].ravel()))
    assert len(done.files) == 12
    loaded = load_gre(
        real=sorted((bids / "sub-01" / "anat").glob("*part-real*.nii.gz")),
        imag=sorted((bids / "sub-01" / "anat").glob("*part-imag*.nii.gz")),
    ).series
    assert loaded.echo_times == (0.005, 0.01)


def test_magnitude_and_phase_of_philips_come_from_one_series(study, bids):
    volumes = study.philips()
    done = import_dicom(study.folder, bids, "01")
    for echo in (1, 2):
        stem = f"sub-01_echo-{echo}_part-phase_MEGRE"
        path = bids / "sub-01" / "anat" / f"{stem}.nii.gz"
        wanted = np.sort(volumes[1 + echo].ravel()) * 1.53480172 - 3142
        np.testing.assert_allclose(sorted_values(path), wanted, atol=1e-3)
        assert json.loads(path.with_name(f"{stem}.json").read_text())["Units"] == "arbitrary"
    assert any("phase in the range mrad" in note for note in done.notes)
    warnings = [note for note in done.notes if note.startswith("dcm2niix: Warning: Unable")]
    assert len(warnings) == 1
    assert "Convert" not in warnings[0]


def test_phase_of_an_unknown_range_is_arbitrary_and_noted(study, bids):
    study.write(description="qsm")
    study.write(
        description="qsm", image_type=("ORIGINAL", "PRIMARY", "P"),
        volumes=[study.rng.integers(100, 900, (12, 10, 4)).astype(np.uint16)],
    )  # fmt: skip
    done = import_dicom(study.folder, bids, "01")
    sidecar = bids / "sub-01" / "anat" / "sub-01_part-phase_T2starw.json"
    assert json.loads(sidecar.read_text())["Units"] == "arbitrary"
    assert any("none of the known ranges" in note for note in done.notes)


def test_nothing_that_names_the_patient_is_left(study, bids):
    study.gre()
    study.write(description="t1_mprage", ScanningSequence=["GR", "IR"], InversionTime=900)
    import_dicom(study.folder, bids, "01")
    words = [
        *(value.encode() for value in IDENTITY.values() if len(value) > 1),
        b"Jane",
        b"Doe",
        b"2024",
        b"10:11",
    ]
    words += [b"101112", study.uid.encode(), b"1970-02-03"]
    for path, content in texts(bids):
        found = [word for word in words if word in content]
        assert not found, (path, found)


def test_identity_is_kept_on_request(study, bids):
    study.gre()
    import_dicom(study.folder, bids, "01", keep_identity=True)
    sidecar = next((bids / "sub-01" / "anat").glob("*.json"))
    assert json.loads(sidecar.read_text())["PatientID"] == IDENTITY["PatientID"]


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("PatientName", False), ("PatientSex", False), ("PatientPosition", True), ("StudyInstanceUID", False),
        ("AcquisitionTime", False), ("AcquisitionDuration", True), ("EchoTime", True), ("OperatorsName", False),
        ("DeviceSerialNumber", True), ("InstitutionAddress", False), ("RepetitionTime", True),
        ("InversionTime", True), ("SeriesNumber", True), ("AcquisitionDateTime", False),
        ("ImageComments", False),
    ],
)  # fmt: skip
def test_fields_of_identity(field, kept):
    assert (field in without_identity({field: 1})) is kept


def test_runs_are_told_apart_and_every_phase_finds_its_magnitude(study, bids):
    pairs = [study.gre(echo_times=(5.0, 10.0, 20.0)) for _ in range(2)]
    single = study.gre(echo_times=(20.0,), description="swi3d")
    import_dicom(study.folder, bids, "01")
    anat = bids / "sub-01" / "anat"
    for run, (magnitude, phase) in enumerate(pairs, start=1):
        for part, volumes in (("mag", magnitude), ("phase", phase)):
            image = read_image(anat / f"sub-01_run-{run}_echo-3_part-{part}_MEGRE.nii.gz").array
            values = volumes[2] if part == "mag" else 2.0 * volumes[2] - 4096
            np.testing.assert_array_equal(np.sort(image.ravel()), np.sort(values.ravel()))
    image = read_image(anat / "sub-01_run-3_part-mag_T2starw.nii.gz").array
    np.testing.assert_array_equal(np.sort(image.ravel()), np.sort(single[0][0].ravel()))


def test_what_is_not_recognised_is_listed(study, bids, capsys):
    study.gre()
    study.write(description="mystery", ScanningSequence="SE")
    study.write(description="min ip", image_type=("DERIVED", "SECONDARY", "MNIP"))
    study.write(description="localizer", shape=(12, 10, 1))
    study.write(description="something", shape=(12, 10, 4))
    code = main(["import", str(study.folder), str(bids), "--subject", "01"])
    captured = capsys.readouterr()
    assert code == 0
    for text in (
        "series 3 (mystery): no gradient-echo sequence",
        "series 4 (min ip): derived image (DERIVED, MNIP)",
        "series 5 (localizer)",
        "series 6 (something): a single gradient echo with magnitude only",
    ):
        assert f"note: skipped: {text}" in captured.err
    assert len(captured.out.splitlines()) == 4
    assert "note: 4 images imported, 4 skipped" in captured.err


def test_a_series_without_phase_is_imported_and_noted(study, bids):
    study.write(description="gre", echo_times=(5.0, 9.0))
    done = import_dicom(study.folder, bids, "01")
    assert len(done.files) == 4
    assert "no matching phase" in done.notes[0]


def test_the_dataset_is_made_and_extended(study, bids, tmp_path):
    study.gre()
    import_dicom(study.folder, bids, "01")
    (bids / "participants.tsv").write_text("participant_id\tage\nsub-01\t31\n")
    description = (bids / "dataset_description.json").read_bytes()
    import_dicom(study.folder, bids, "02", "1")
    import_dicom(study.folder, bids, "02", "2")
    assert (bids / "participants.tsv").read_text() == "participant_id\tage\nsub-01\t31\nsub-02\tn/a\n"
    assert (bids / "dataset_description.json").read_bytes() == description
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bids", "dicom"]


@pytest.mark.parametrize(
    ("description", "tags", "suffix"),
    [
        ("t1_mprage_sag", {"ScanningSequence": ["GR", "IR"], "InversionTime": 900}, "T1w"),
        ("T1w_fl3d", {}, "T1w"),
        ("ax 3D BRAVO", {}, "T1w"),
        ("t1_qsm_gre", {}, "part-mag_T2starw"),
        ("SWAN", {}, "part-mag_T2starw"),
    ],
)
def test_lone_magnitudes_are_told_by_their_sequence_and_name(study, bids, description, tags, suffix):
    study.write(description=description, **tags)
    import_dicom(study.folder, bids, "01")
    assert (bids / "sub-01" / "anat" / f"sub-01_{suffix}.nii.gz").is_file()


def test_warnings_of_dcm2niix_are_passed_on(study, bids):
    study.gre()
    (study.folder / "s001_i0002.dcm").unlink()
    done = import_dicom(study.folder, bids, "01")
    assert any(note.startswith("dcm2niix: ") for note in done.notes), done.notes


def test_an_earlier_import_is_not_replaced_without_force(study, bids):
    study.gre()
    import_dicom(study.folder, bids, "01")
    before = {path: path.read_bytes() for path in bids.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="and 3 more exist already"):
        import_dicom(study.folder, bids, "01")
    import_dicom(study.folder, bids, "01", force=True)
    assert {path: path.read_bytes() for path in bids.rglob("*") if path.is_file()} == before


def test_two_patients_in_one_folder_are_refused(study, bids, tmp_path):
    study.gre()
    Study(tmp_path / "dicom" / "other", PatientID="MRN1").gre()
    with pytest.raises(InputError, match="2 patients in one folder") as caught:
        import_dicom(study.folder, bids, "01")
    assert "MRN" not in str(caught.value)
    assert not bids.exists()


@pytest.mark.parametrize("label", ["../x", "a_b", "", "a b"])
def test_labels_are_letters_and_digits(study, bids, label):
    with pytest.raises(UsageError, match="letters and digits"):
        import_dicom(study.folder, bids, label)


def test_a_folder_without_dicom_is_refused(bids, tmp_path, capsys):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "readme.txt").write_text("no image")
    assert main(["import", str(tmp_path / "dicom"), str(bids), "--subject", "01"]) == 3
    assert main(["import", str(tmp_path / "gone"), str(bids), "--subject", "01"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert not bids.exists()


def test_nothing_recognised_is_an_error_that_lists_all(study, bids):
    study.write(description="mystery", ScanningSequence="SE")
    with pytest.raises(InputError, match="mystery"):
        import_dicom(study.folder, bids, "01")
    assert not bids.exists()


def test_the_result_is_valid_bids(study, bids):
    study.gre()
    import_dicom(study.folder, bids, "01")
    assert errors(bids) == []


def test_diffusion_comes_in_with_its_table(study, bids):
    directions = study.rng.standard_normal((6, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    study.dwi(np.r_[0.0, np.full(6, 1000.0)], np.vstack([np.zeros(3), directions]))
    import_dicom(study.folder, bids, "01")
    loaded = load_dwi(bids / "sub-01" / "dwi" / "sub-01_dwi.nii.gz").series
    np.testing.assert_allclose(loaded.b_values, [0, *[1000] * 6])
    np.testing.assert_allclose(np.abs(loaded.b_vectors[1:]), np.abs(directions), atol=1e-4)


def test_a_folder_may_be_named_like_an_option(study, bids, tmp_path, monkeypatch):
    study.gre()
    study.folder.rename(tmp_path / "-h")
    monkeypatch.chdir(tmp_path)
    done = import_dicom(Path("-h"), bids, "01")
    assert sum(name.endswith(".nii.gz") for name in done.files) == 4


@pytest.mark.parametrize("lost", ["one echo", "all"])
def test_a_series_with_a_lost_slice_is_left_out(study, bids, lost):
    study.gre(echo_times=(6.0, 14.0))
    for number, path in enumerate(sorted(study.folder.rglob("*.dcm"))):
        if number % 4 == 1 and (lost == "all" or number < 4):
            path.unlink()
    if lost == "all":
        with pytest.raises(
            InputError, match=r"no series recognised: series 1 .*: its slices are not equidistant"
        ):
            import_dicom(study.folder, bids, "01")
        assert not bids.exists()
        return
    done = import_dicom(study.folder, bids, "01")
    (reason,) = done.left_out
    assert reason.startswith("series 1 (gre_qsm): its slices are not equidistant")
    magnitudes = [name for name in done.files if "part-mag" in name and name.endswith(".json")]
    assert [json.loads((bids / name).read_text())["EchoTime"] for name in magnitudes] == [0.014]
