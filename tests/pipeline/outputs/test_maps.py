import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qsmengine
from qsmengine.backend.device import cpu
from qsmengine.backend.sources import sources_hash
from qsmengine.errors import InputError, UsageError
from qsmengine.io.nifti import read_image
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.modalities.gre.session import QsmRequest, run_qsm_session
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.outputs.naming import Naming
from tests.made_sessions import ECHO_TIMES, GAMMA, make_ball, write_ball, write_dwi


@pytest.fixture(scope="module")
def config():
    return load_config(settings=["inversion=tkd", "background=vsharp", "background.max_radius=6"])


@pytest.fixture(scope="module")
def session(tmp_path_factory, config):
    """A BIDS-named session with its outcome."""
    folder = tmp_path_factory.mktemp("bids")
    ball = make_ball(5)
    files = write_ball(folder / "sub-01" / "anat", ball)
    (folder / "dataset_description.json").write_text('{"DatasetType": "raw"}')
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), folder / "derivatives" / "qsmengine")
    dry = run_qsm_session(request, config, cpu(), dry_run=True)
    assert not request.out.exists()
    return request, dry, run_qsm_session(request, config, cpu())


def sidecar(path):
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


def test_dry_run_names_exactly_the_files_of_the_run(session):
    request, dry, outcome = session
    assert sorted(dry.files) == sorted(outcome.files)
    with pytest.raises(UsageError, match="dry run"):
        dry.completed()
    assert sorted(p for p in request.out.rglob("*") if p.is_file()) == sorted(outcome.files)


def test_names_are_those_of_bids(session):
    request, _, _ = session
    names = {p.name for p in (request.out / "sub-01" / "anat").glob("*.nii.gz")}
    assert names >= {
        "sub-01_Chimap.nii.gz", "sub-01_R2starmap.nii.gz", "sub-01_T2starmap.nii.gz",
        "sub-01_desc-total_fieldmap.nii.gz", "sub-01_desc-local_fieldmap.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
    }  # fmt: skip
    description = json.loads((request.out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Version"] == qsmengine.__version__


def test_fields_are_written_in_hertz_and_chi_in_ppm(session):
    request, _, outcome = session
    folder = request.out / "sub-01" / "anat"
    for name in ("total", "local"):
        path = folder / f"sub-01_desc-{name}_fieldmap.nii.gz"
        assert sidecar(path)["Units"] == "Hz"
        expected = outcome.result[f"{name}_field"] * GAMMA * 3.0 * 1e-6
        np.testing.assert_allclose(
            read_image(path).array, np.where(np.isfinite(expected), expected, 0), rtol=1e-5
        )
    assert sidecar(folder / "sub-01_Chimap.nii.gz")["Units"] == "ppm"
    np.testing.assert_array_equal(read_image(folder / "sub-01_Chimap.nii.gz").array, outcome.result.chi)


def test_every_image_is_finite_and_has_a_sidecar(session):
    for path in (p for p in session[2].files if p.name.endswith(".nii.gz")):
        assert np.isfinite(read_image(path).array).all(), path
        assert {"Description", "Units", "Sources"} <= set(sidecar(path)), path


def test_sidecar_tells_how_chi_was_made(session, config):
    request, _, outcome = session
    facts = sidecar(request.out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz")
    assert facts["EstimationAlgorithm"] == "tkd"
    assert facts["Parameters"]["threshold"] == pytest.approx(0.15)
    assert facts["ConfigurationHash"] == config.digest
    assert facts["EchoTimes"] == list(ECHO_TIMES)
    assert facts["MagneticFieldStrength"] == pytest.approx(3.0)
    assert facts["B0Direction"] == [0.0, 0.0, 1.0]
    assert facts["Software"]["kernels"] == sources_hash()
    assert facts["QSMReference"]["Region"] == "mask"
    assert facts["QSMReference"]["SubtractedValue"] == pytest.approx(outcome.result.facts["value"])
    assert "bids:raw:sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz" in facts["Sources"]


def test_solver_s_end_is_kept(tmp_path):
    files = write_ball(tmp_path / "in", make_ball(6))
    config = load_config(settings=["inversion.iterations=5", "background=vsharp", "background.max_radius=4"])
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "out")
    run_qsm_session(request, config, cpu())
    solver = sidecar(tmp_path / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz")["Solver"]
    assert solver["Iterations"] == 5
    assert solver["Stopped"] == "iterations"


def test_provenance_holds_configuration_steps_and_digests_of_inputs(session, config):
    request, _, outcome = session
    record = json.loads((request.out / "sub-01" / "anat" / "sub-01_desc-qsm_prov.json").read_text())
    assert record["Configuration"] == config.as_tree()
    assert [s["Stage"] for s in record["Steps"]] == [r.step.method.stage for r in outcome.result.records]
    assert {e["File"] for e in record["Inputs"]} >= {p.name for p in (*request.magnitude, *request.phase)}
    assert all(len(e["SHA256"]) == 64 for e in record["Inputs"])


def test_same_input_and_configuration_give_the_same_bytes(session, config, tmp_path):
    request, _, outcome = session
    again = QsmRequest(request.magnitude, request.phase, tmp_path / "again")
    run_qsm_session(again, config, cpu())
    for path in (p for p in outcome.files if p.name.endswith(".nii.gz")):
        assert (again.out / path.relative_to(request.out)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("name", "chi"),
    [
        ("sub-1_ses-2_run-1_echo-1_part-mag_MEGRE.nii.gz", "sub-1/ses-2/anat/sub-1_ses-2_run-1_Chimap.nii.gz"),
        ("head_mag.nii.gz", "head_Chimap.nii.gz"),
        ("head_e1_magnitude.nii", "head_Chimap.nii.gz"),
        ("echo-1_mag.nii.gz", "Chimap.nii.gz"),
        ("magnitude.nii.gz", "Chimap.nii.gz"),
        ("my study.scan 3.nii.gz", "my study_scan 3_Chimap.nii.gz"),
    ],
)
def test_outputs_are_named_after_the_input(name, chi):
    assert Naming.of(Path("/data") / name).path("Chimap", {}) == Path(chi)


@pytest.mark.parametrize(
    ("names", "chi"),
    [
        (("magnitude_1.nii.gz", "magnitude_2.nii.gz", "phase_1.nii.gz", "phase_2.nii.gz"), "Chimap.nii.gz"),
        (("head_mag_1.nii.gz", "head_mag_2.nii.gz", "head_phase_1.nii.gz"), "head_Chimap.nii.gz"),
        (("gre7_e1.nii.gz", "gre7_e2.nii.gz", "gre8_e1_ph.nii.gz"), "Chimap.nii.gz"),
        (("sub-01_mag.nii.gz", "sub-02_mag.nii.gz"), "Chimap.nii.gz"),
        (("sub-01_mag.nii.gz", "phase.nii.gz"), "sub-01/anat/sub-01_Chimap.nii.gz"),
        (("run_1_mag.nii.gz", "run_1_phase.nii.gz"), "run_1_Chimap.nii.gz"),
    ],
)
def test_outputs_are_named_after_what_the_inputs_share(names, chi):
    assert Naming.of(*map(Path, names)).path("Chimap", {}) == Path(chi)


def test_failure_while_writing_leaves_no_output(session, config, tmp_path, monkeypatch):
    from qsmengine.pipeline.outputs import maps as derivatives

    request = session[0]
    written = []

    def failing(path, *args, **kwargs):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    monkeypatch.setattr(derivatives, "write_image", failing)
    with pytest.raises(OSError, match="No space left"):
        run_qsm_session(QsmRequest(request.magnitude, request.phase, tmp_path / "out"), config, cpu())
    assert list(tmp_path.iterdir()) == []


def test_tensor_maps_have_dtifit_s_names(tmp_path):
    path, anisotropy = write_dwi(tmp_path / "in")
    request = DtiRequest(dwi=path, prefix=tmp_path / "out" / "x")
    dry = run_dti_session(request, load_config(), cpu(), dry_run=True)
    assert not (tmp_path / "out").exists()
    outcome = run_dti_session(request, load_config(), cpu())
    assert sorted(dry.files) == sorted(outcome.files)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {
        f"x_{e}.nii.gz" for e in ("FA", "MD", "L1", "L2", "L3", "V1", "V2", "V3", "MO", "S0", "tensor")
    } <= names
    np.testing.assert_allclose(read_image(tmp_path / "out" / "x_FA.nii.gz").array, anisotropy, atol=2e-4)
    assert sidecar(tmp_path / "out" / "x_MD.nii.gz")["Units"] == "mm^2/s"
    with pytest.raises(UsageError, match="and 35 more exist already"):
        run_dti_session(request, load_config(), cpu())


def test_a_check_that_fails_while_tensor_maps_are_written_leaves_no_output(tmp_path, monkeypatch):
    path, _ = write_dwi(tmp_path / "in")

    def failing(*_args, **_kwargs):
        raise InputError("the table does not match", field="bvec")

    monkeypatch.setattr("qsmengine.modalities.dwi.session.check_gradients", failing)
    request = DtiRequest(dwi=path, prefix=tmp_path / "out" / "x")
    with pytest.raises(InputError, match="does not match"):
        run_dti_session(request, load_config(), cpu())
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    outcome = run_dti_session(replace(request, check_gradients=False), load_config(), cpu())
    assert all(file.is_file() for file in outcome.files)


def test_labels_on_another_grid_are_refused(session, config, tmp_path):
    from qsmengine.grid import Grid
    from qsmengine.io.nifti import write_image

    request = session[0]
    labels = tmp_path / "labels.nii.gz"
    write_image(labels, np.ones((5, 5, 5), np.uint8), Grid.from_voxel_size((5, 5, 5), (2.0, 2.0, 2.0)))
    with pytest.raises(InputError, match="has shape"):
        run_qsm_session(
            QsmRequest(request.magnitude, request.phase, tmp_path / "o", labels=labels), config, cpu()
        )


def test_both_passes_are_written(tmp_path):
    ball = make_ball(5)
    files = write_ball(tmp_path / "in", ball)
    settings = ["inversion=tkd", "background=vsharp", "background.max_radius=6", "two_pass=phase_quality"]
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "out")
    dry = run_qsm_session(request, load_config(settings=settings), cpu(), dry_run=True)
    outcome = run_qsm_session(request, load_config(settings=settings), cpu())
    assert sorted(dry.files) == sorted(outcome.files)
    folder = request.out / "sub-01" / "anat"
    for name in ("Chimap", "desc-pass1_Chimap", "desc-pass2_Chimap", "desc-pass1_mask"):
        assert (folder / f"sub-01_{name}.nii.gz").is_file(), name
    assert sidecar(folder / "sub-01_Chimap.nii.gz")["EstimationAlgorithm"] == "two_pass"
    assert sidecar(folder / "sub-01_desc-pass1_Chimap.nii.gz")["EstimationAlgorithm"] == "tkd"
