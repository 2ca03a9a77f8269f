import json

import numpy as np
import pandas as pd
import pytest

from qsmengine.cli.main import main
from qsmengine.io.nifti import read_image, write_image
from qsmengine.stages.registry import all_methods
from tests.made_sessions import make_ball, qsm_arguments, write_ball, write_dwi


@pytest.fixture
def files(tmp_path):
    return write_ball(tmp_path / "in", make_ball(10))


def listing(folder):
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_qsm_from_files_to_maps(files, tmp_path, capsys):
    assert (
        main(
            qsm_arguments(
                files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=6"
            )
        )
        == 0
    )
    captured = capsys.readouterr()
    named = [line for line in captured.out.splitlines() if line.endswith("Chimap.nii.gz")]
    assert np.isfinite(read_image(named[0]).array).all()
    assert "[1/" in captured.err


def test_single_echo_gives_chi_without_relaxation_and_says_why(tmp_path, capsys):
    ball = make_ball(10, echo_times=(0.011,))
    files = write_ball(tmp_path / "in", ball)
    assert (
        main(
            qsm_arguments(
                files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=6"
            )
        )
        == 0
    )
    captured = capsys.readouterr()
    names = {path.name for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert {"sub-01_Chimap.nii.gz", "sub-01_desc-local_fieldmap.nii.gz"} <= names
    assert not names & {"sub-01_R2starmap.nii.gz", "sub-01_T2starmap.nii.gz"}
    assert "relaxometry left out: it needs two echoes or more" in captured.err
    assert "phase offset left out: it needs two echoes or more" in captured.err
    chi = read_image(next((tmp_path / "out").rglob("sub-01_Chimap.nii.gz"))).array
    low, high = (np.median(chi[ball.chi == value]) for value in (-0.4, 0.4))
    assert high - low == pytest.approx(0.8, rel=0.3)


def test_dry_run_prints_steps_and_files_and_touches_nothing(files, tmp_path, capsys):
    before = listing(tmp_path)
    assert main(qsm_arguments(files, tmp_path / "out", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert "inversion: tkd" in out
    assert "MiB" in out
    assert "sub-01_Chimap.nii.gz" in out
    assert listing(tmp_path) == before


def test_second_run_is_refused_and_force_replaces(files, tmp_path, capsys):
    argv = qsm_arguments(
        files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=4", "-q"
    )
    assert main(argv) == 0
    before = listing(tmp_path)
    assert main(argv) == 2
    assert "--force" in capsys.readouterr().err
    assert listing(tmp_path) == before
    assert main([*argv, "--force"]) == 0
    assert listing(tmp_path) != before


def test_quiet_says_nothing(files, tmp_path, capsys):
    assert (
        main(
            qsm_arguments(
                files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=4", "-q"
            )
        )
        == 0
    )
    assert capsys.readouterr() == ("", "")


def test_json_log_is_one_object_a_line(files, tmp_path, capsys):
    assert (
        main(
            qsm_arguments(
                files,
                tmp_path / "out",
                "--set",
                "background=vsharp",
                "--set",
                "background.max_radius=4",
                "--log-json",
            )
        )
        == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    steps = [e for e in events if e["event"] == "step"]
    assert [s["index"] for s in steps] == list(range(1, steps[-1]["total"] + 1))


def test_echo_times_and_field_strength_can_be_given(files, tmp_path, capsys):
    for path in (*files["mag"], *files["phase"]):
        path.with_name(path.name.replace(".nii.gz", ".json")).unlink()
    argv = qsm_arguments(files, tmp_path / "out", "--dry-run")
    assert main(argv) == 3
    assert "EchoTime" in capsys.readouterr().err
    assert main([*argv, "--echo-times", "0.004", "0.009", "0.014", "--field-strength", "3"]) == 0


def test_dti_fits_by_the_named_method(tmp_path, capsys):
    path, anisotropy = write_dwi(tmp_path / "in")
    assert (
        main(["dti", "--dwi", str(path), "--out", str(tmp_path / "o" / "x"), "--fit", "wls", "--device", "cpu"])
        == 0
    )
    np.testing.assert_allclose(read_image(tmp_path / "o" / "x_FA.nii.gz").array, anisotropy, atol=2e-4)
    assert json.loads((tmp_path / "o" / "x_FA.json").read_text())["EstimationAlgorithm"] == "wls"


def test_stage_list_shows_every_method_with_its_source_and_parameters(capsys):
    assert main(["stage", "--list"]) == 0
    out = capsys.readouterr().out
    for method in all_methods():
        assert f"{method.stage} --method {method.name}" in out
        assert method.doi in out
        for name, field in method.params.model_fields.items():
            assert f"--set {field.alias or name}=" in out


def test_stage_list_of_one_stage(capsys):
    assert main(["stage", "inversion", "--list"]) == 0
    out = capsys.readouterr().out
    assert "weighted_tv" in out
    assert "romeo" not in out


def test_stage_runs_a_method_on_files(tmp_path, capsys):
    ball = make_ball(11)
    write_image(tmp_path / "f.nii.gz", ball.total_field * ball.mask, ball.series.grid)
    write_image(tmp_path / "m.nii.gz", ball.mask, ball.series.grid)
    inputs = [f"total_field={tmp_path / 'f.nii.gz'}", f"mask={tmp_path / 'm.nii.gz'}"]
    argv = [
        "stage",
        "background",
        "--method",
        "vsharp",
        "--input",
        *inputs,
        "--unit",
        "total_field=ppm",
        "--set",
        "max_radius=4",
    ]
    assert main([*argv, "--output", f"local_field={tmp_path / 'l.nii.gz'}"]) == 0
    assert (tmp_path / "l.nii.gz").is_file()


def test_regions_writes_a_table_with_units_from_sidecars(tmp_path, capsys):
    ball = make_ball(12)
    labels = np.where(ball.chi > 0, 13, np.where(ball.chi < 0, 52, 0))
    write_image(tmp_path / "labels.nii.gz", labels, ball.series.grid)
    write_image(tmp_path / "chi.nii.gz", ball.chi, ball.series.grid)
    argv = ["regions", "--labels", str(tmp_path / "labels.nii.gz"), "--map", f"chi={tmp_path / 'chi.nii.gz'}"]
    argv += ["--out", str(tmp_path / "t.tsv")]
    assert main(argv) == 3
    assert "Units" in capsys.readouterr().err
    (tmp_path / "chi.json").write_text('{"Units": "ppm"}')
    assert main(argv) == 0
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t").set_index(["region", "hemisphere"])
    pallidum = next(key for key in table.index if "allidum" in key[0] and key[1] == "left")
    assert table.loc[pallidum, "chi_mean"] == pytest.approx(0.4, rel=1e-6)
    assert json.loads((tmp_path / "t.json").read_text())["chi_mean"]["Units"] == "ppm"


def test_group_fits_an_ancova_over_tables(tmp_path, capsys):
    rng = np.random.default_rng(13)
    rows = ["participant_id\tgroup"]
    for i in range(12):
        subject, patient = f"sub-{i:02d}", i >= 6
        rows.append(f"{subject}\t{'patient' if patient else 'control'}")
        folder = tmp_path / "d" / subject / "anat"
        folder.mkdir(parents=True)
        value = rng.normal(0.05 * patient, 0.01)
        text = f"region\themisphere\tchi_mean\nthalamus\tbilateral\t{value}\n"
        (folder / f"{subject}_desc-dgm_stats.tsv").write_text(text)
    (tmp_path / "d" / "participants.tsv").write_text("\n".join(rows) + "\n")
    design = tmp_path / "design.yaml"
    design.write_text(
        "outcome: {region: thalamus, map: chi, statistic: mean}\n"
        "groups: {column: group, reference: control}\ncorrection: none\n"
    )
    argv = ["group", "--design", str(design), str(tmp_path / "d"), str(tmp_path / "out")]
    assert main(argv) == 0
    table = pd.read_csv(tmp_path / "out" / "group_ancova.tsv", sep="\t")
    assert table.set_index("group").loc["patient", "difference"] == pytest.approx(0.05, abs=0.02)
    assert main(argv) == 2


def test_qsm_ci_writes_its_output(tmp_path, capsys):
    ball = make_ball(14)
    write_image(tmp_path / "in" / "localfield.nii.gz", ball.total_field * ball.mask, ball.series.grid)
    write_image(tmp_path / "in" / "mask.nii.gz", ball.mask, ball.series.grid)
    params = {"TE": [0.01], "B0": 3, "B0_dir": [0, 0, 1], "voxel_size": [2, 2, 2]}
    (tmp_path / "in" / "params.json").write_text(json.dumps(params))
    argv = ["qsm-ci", "dipole", str(tmp_path / "in"), str(tmp_path / "out"), "--method", "tkd"]
    assert main(argv) == 0
    assert read_image(tmp_path / "out" / "chimap.nii.gz").grid.shape == ball.mask.shape


def test_phantom_writes_a_dataset_that_qsm_reads(tmp_path, capsys):
    argv = ["phantom", "--out", str(tmp_path / "head"), "--voxel-size", "5", "--echo-times", "0.004", "0.012"]
    assert main(argv) == 0
    assert main(argv) == 2
    raw = tmp_path / "head" / "sub-01" / "anat"
    files = {part: sorted(raw.glob(f"*_part-{part}_MEGRE.nii.gz")) for part in ("mag", "phase")}
    assert len(files["mag"]) == 2
    assert main(qsm_arguments(files, tmp_path / "head" / "derivatives" / "q", "--dry-run")) == 0
    assert main(qsm_arguments(files, tmp_path / "head" / "results", "--dry-run")) == 2


def test_phantom_draws_features_into_the_head_asked_for(tmp_path):
    argv = ["phantom", "--out", str(tmp_path), "--voxel-size", "6", "--echo-times", "0.01", "--head", "3"]
    assert main([*argv, "--feature", "veins", "lesions"]) == 0
    truth = tmp_path / "derivatives" / "truth" / "sub-03" / "anat"
    settings = json.loads((truth / "sub-03_Chimap.json").read_text())
    assert settings["Subject"] == 3
    assert settings["Features"] == ["veins", "lesions"]
    names = (truth / "sub-03_dseg.tsv").read_text()
    assert "drawn_vein" in names
    assert "drawn_calcification" not in names


def test_doctor_reports_kernels_fft_memory_and_gpu(capsys):
    assert main(["doctor"]) == 0
    assert "CPU kernels" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["CPU kernels"].startswith("variant v")
    assert {"FFT", "GPU", "memory", "threads", "optional parts"} <= set(facts)
