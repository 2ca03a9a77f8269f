import csv
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from qsmengine.cli.main import main
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io.bids import write_dataset_description
from qsmengine.io.nifti import read_image, write_image
from qsmengine.phantom import virtual_head
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.dsc_drawing import DRAWING
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.dsc.making import write, write_mask

WHITE = (2, 41)
UNITS = {
    "cbv": "mL/100 g", "cbf": "mL/100 g/min", "relative_cbv": "1", "relative_cbf": "1", "mtt": "s", "tmax": "s",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two sessions of a virtual head with bolus series; its labels as segmentation and reference region."""
    root = tmp_path_factory.mktemp("bids")
    head = virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=(DRAWING,), seed=6)
    write_cohort(root, head, CohortSettings(sessions=2, snr=100.0, seed=1))
    for name in ("sub-01", "sub-02"):
        labels = read_image(root / f"derivatives/truth/{name}/anat/{name}_dseg.nii.gz", dtype=np.int16)
        path = root / name / "perf" / f"{name}_desc-reference_mask.nii.gz"
        write_image(path, np.isin(labels.array, WHITE).astype(np.uint8), labels.grid)
    return root


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    """Derivatives of the dataset, with pages."""
    folder = tmp_path_factory.mktemp("out")
    plan = plan_cohort(dataset, folder, load_config(), lut="synthseg")
    assert [{step.kind for step in session.steps} for session in plan.sessions] == [{"dsc", "regions"}] * 2
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    for session in plan.sessions:
        (step,) = (step for step in session.steps if step.kind == "dsc")
        assert all((folder / output).is_file() for output in step.outputs)
    write_reports(folder)
    return folder


def test_maps_of_a_cohort_have_bids_names(out):
    folder = out / "sub-01" / "perf"
    assert {"sub-01_CBV.nii.gz", "sub-01_CBF.json", "sub-01_desc-aif_mask.nii.gz", "sub-01_aif.tsv"} <= {
        path.name for path in folder.iterdir()
    }
    assert "perf" in (out / ".bidsignore").read_text().splitlines()


def test_region_tables_hold_perfusion_with_its_units(out, dataset):
    table = next(out.rglob("sub-01*_stats.tsv"))
    rows = {
        (row["region"], row["hemisphere"]): row
        for row in csv.DictReader(table.read_text().splitlines(), delimiter="\t")
    }
    units = json.loads(table.with_suffix(".json").read_text())
    assert units["cbf_mean"]["Units"] == "mL/100 g/min"
    cbv = read_image(out / "sub-01/perf/sub-01_CBV.nii.gz").array
    inside = read_image(out / "sub-01/perf/sub-01_desc-brain_mask.nii.gz", dtype=np.uint8).array > 0
    labels = read_image(dataset / "derivatives/truth/sub-01/anat/sub-01_dseg.nii.gz", dtype=np.int16).array
    thalamus = rows["thalamus", "left"]
    assert float(thalamus["cbv_mean"]) == pytest.approx(float(cbv[(labels == 10) & inside].mean()), rel=1e-4)


def test_group_models_take_regional_perfusion_in_its_units(out, tmp_path):
    """Of eight people made from one table, the patients lose a fifth of their flow."""
    (source,) = out.rglob("sub-01*_stats.tsv")
    table = pd.read_csv(source, sep="\t", na_values="n/a", keep_default_na=False)
    columns = [f"{name}_median" for name in UNITS]
    people = pd.DataFrame({"participant_id": [f"sub-{k:02d}" for k in range(8)], "group": ["HC", "MS"] * 4})
    for k, name in enumerate(people["participant_id"]):
        own = table.copy()
        own[columns] *= 1.0 + 0.01 * (k * k % 7)  # both groups have the mean 1.0175
        if k % 2:
            own[["cbf_median", "relative_cbf_median"]] *= 0.8
        path = tmp_path / "derivatives" / name / "perf" / f"{name}_desc-dgm_stats.tsv"
        path.parent.mkdir(parents=True)
        own.to_csv(path, sep="\t", index=False, na_rep="n/a")
        path.with_suffix(".json").write_text(source.with_suffix(".json").read_text())
    people.to_csv(tmp_path / "derivatives" / "participants.tsv", sep="\t", index=False)
    groups = {"column": "group", "reference": "HC"}
    design = {
        "variables": {m: {"region": "thalamus", "map": m, "statistic": "median"} for m in UNITS},
        "correction": "none",
        "models": [{"name": m, "kind": "ancova", "outcome": m, "groups": groups} for m in UNITS],
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(design))
    results = tmp_path / "results"
    arguments = [
        "group",
        str(tmp_path / "derivatives"),
        str(results),
        "--design",
        str(tmp_path / "models.yaml"),
    ]
    assert main(arguments) == 0
    described = json.loads((results / "cohort.json").read_text())
    assert {name: described[name]["Units"] for name in UNITS} == UNITS
    tests = (
        pd.read_csv(results / "tests.tsv", sep="\t", na_values="n/a").query("term == 'MS'").set_index("model")
    )
    thalamus = table.query("region == 'thalamus' and hemisphere == 'bilateral'").iloc[0]
    for name in UNITS:
        expected = -0.2 * 1.0175 * thalamus[f"{name}_median"] if "cbf" in name else 0.0
        assert tests.loc[name, "estimate"] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_page_shows_maps_and_curve_and_the_text_its_methods(out):
    page = (out / "sub-01.html").read_text()
    assert "slices of blood volume, Perfusion" in page
    assert "dR2* of the artery over time, Perfusion" in page
    text = (out / "logs" / "CITATION.md").read_text()
    assert "Bolus series with contrast agent of 2 sessions" in text
    assert "10.1016/j.neuroimage.2006.06.015" in text


def test_a_series_that_cannot_be_used_is_reported_in_the_plan(dataset, tmp_path):
    import shutil

    copy = tmp_path / "bids"
    shutil.copytree(dataset, copy)
    path = copy / "sub-02" / "perf" / "sub-02_dsc.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in fields.items() if key != "RepetitionTime"}))
    plan = plan_cohort(copy, tmp_path / "out", load_config())
    problems = [problem for session in plan.sessions for step in session.steps for problem in step.problems]
    assert len(problems) == 1
    assert "RepetitionTime: not found" in problems[0]


@pytest.fixture
def with_companions(made, tmp_path):
    """Dataset with one small series, and masks of the brain, an artery, and the white matter beside it."""
    folder = tmp_path / "bids" / "sub-01" / "perf"
    write(folder, made, "sub-01_dsc", MagneticFieldStrength=3.0)
    write_mask(folder / "sub-01_desc-brain_mask.nii.gz", made.mask)
    artery = made.artery.copy()
    artery[:10] = False
    write_mask(folder / "sub-01_desc-aif_mask.nii.gz", artery)
    write_mask(folder / "sub-01_desc-reference_mask.nii.gz", made.white)
    write_dataset_description(tmp_path / "bids", name="raw", version="1")
    return tmp_path / "bids", artery


def test_a_cohort_uses_the_artery_region_and_mask_beside_a_series(with_companions, made, tmp_path):
    dataset, artery = with_companions
    plan = plan_cohort(dataset, tmp_path / "out", load_config())
    (step,) = plan.sessions[0].steps
    assert {"aif_mask", "region", "mask"} <= step.inputs.keys()
    assert sum("sub-01_desc-aif_mask.nii.gz" in note for note in step.notes) == 1
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    folder = tmp_path / "out" / "sub-01" / "perf"
    np.testing.assert_array_equal(read_image(folder / "sub-01_desc-aif_mask.nii.gz").array > 0, artery)
    np.testing.assert_array_equal(read_image(folder / "sub-01_desc-brain_mask.nii.gz").array > 0, made.mask)
    relative = read_image(folder / "sub-01_desc-relative_CBV.nii.gz").array
    assert relative[made.white].mean() == pytest.approx(1.0, abs=1e-4)


def test_a_cohort_registers_the_frames_where_the_configuration_says_so(with_companions, tmp_path, monkeypatch):
    from qsmengine.modalities.dsc import motion, session

    moves = iter(np.linspace(0.0, 0.98, 50))

    def found(*_):
        matrix = np.eye(4)
        matrix[1, 3] = next(moves)
        return matrix

    original = motion.correct_motion
    monkeypatch.setattr(session, "correct_motion", lambda *a, **k: original(*a, **{**k, "find": found}))
    plan = plan_cohort(with_companions[0], tmp_path / "out", load_config(settings=["input.motion=true"]))
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    record = json.loads((tmp_path / "out/sub-01/perf/sub-01_desc-dsc_prov.json").read_text())
    displacement = record["Acquisition"]["FramewiseDisplacement"]
    assert displacement[0] == 0
    assert displacement[1:] == pytest.approx([0.02] * 49, abs=1e-4)
    values = next((tmp_path / "out").rglob("*_desc-quality_dsc.tsv")).read_text()
    assert "displacement" in values


def test_a_curve_and_a_mask_of_the_artery_beside_a_series_are_a_problem(with_companions, tmp_path):
    dataset, _ = with_companions
    (dataset / "sub-01/perf/sub-01_aif.tsv").write_text("time\tdr2star\n")
    (step,) = plan_cohort(dataset, tmp_path / "out", load_config()).sessions[0].steps
    assert any("both a curve and a mask" in problem for problem in step.problems)


def test_the_command_writes_the_maps_of_a_file(dataset, tmp_path, capsys):
    image = dataset / "sub-01" / "perf" / "sub-01_dsc.nii.gz"
    arguments = ["dsc", "--dsc", str(image), "--device", "cpu", "--method", "csvd", "--leakage", "none"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "sub-01" / "perf"
    shown = capsys.readouterr().out
    assert str(folder / "sub-01_CBV.nii.gz") in shown
    assert str(folder / "sub-01_aif.tsv") in shown
    assert json.loads((folder / "sub-01_CBF.json").read_text())["EstimationAlgorithm"] == "csvd"
    assert not (folder / "sub-01_K2.nii.gz").exists()


@pytest.mark.parametrize(
    ("change", "said", "code"),
    [
        (["--tr", "40"], "--tr 40.0: must be between", 2),
        (["--te", "0.03", "0.05"], "2 echo times for 1 images", 3),
        (["--method", "osdv"], "osvd", 2),
        (["--leakage", "bws"], "bsw", 2),
        (["--aif", "none.tsv", "--aif-mask", "none.nii.gz"], "not both", 2),
    ],
)
def test_the_command_refuses_what_it_cannot_use_in_one_line(dataset, tmp_path, capsys, change, said, code):
    image = dataset / "sub-01" / "perf" / "sub-01_dsc.nii.gz"
    assert main(["dsc", "--dsc", str(image), "--out", str(tmp_path / "out"), *change]) == code
    message = capsys.readouterr().err.strip()
    assert said in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()
