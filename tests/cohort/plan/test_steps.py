import json

import numpy as np
import pytest

from qsmengine.backend.device import resolve_device
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.steps import SHARED
from qsmengine.cohort.work.tasks import Place, task_of
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import load_config
from tests.cohort.making import SHAPE


def task(step, bids, out):
    return task_of(step, Place(bids, out, out, resolve_device("cpu", 1)))


def relative(outcome, out):
    return {path.relative_to(out).as_posix() for path in outcome.files} - SHARED


@pytest.mark.parametrize("preset", ["accurate", "fast"])
def test_steps_are_what_a_dry_run_says(dataset, tmp_path, preset):
    dataset.gre("01", "x", entities="_acq-fine")
    dataset.gre("01", "x", suffix="GRE", parts=("real", "imag"), times=(0.02,))
    dataset.gre("01", "x", suffix="T2starw", times=(0.02,))
    dataset.dwi("01", "x", entities="_dir-AP_run-2")
    config, out, cpu = load_config(preset=preset), tmp_path / "out", resolve_device("cpu", 1)
    (session,) = plan_cohort(dataset.root, out, config).sessions
    assert len(session.steps) == 4
    outputs = [path for step in session.steps for path in step.outputs]
    assert len(outputs) == len(set(outputs))
    assert all(path.startswith("sub-01/ses-x/") for path in outputs)
    for step in session.steps:
        assert step.problems == ()
        modality = modality_of(step.kind)
        own = load_config(preset=preset, sections=modality.sections)
        outcome = modality.reconstruct(task(step, dataset.root, out), own, cpu, True, None)
        assert relative(outcome, out) == set(step.outputs)
        assert not {path for path in step.outputs if "/" not in path}
        assert step.memory == outcome.plan.memory
        assert step.settings == json.loads(json.dumps(own.as_tree()))
    assert sorted(step.voxels for step in session.steps) == [n * np.prod(SHAPE) for n in (1, 1, 3, 8)]


def test_setting_of_one_modality_leaves_the_steps_of_another(dataset, tmp_path):
    dataset.gre("01", "x")
    dataset.dwi("01", "x")
    settings = {}
    for iterations in (10, 11):
        config = load_config(settings=[f"single_step.iterations={iterations}", "single_step.residual_spread=3"])
        (session,) = plan_cohort(dataset.root, tmp_path / "out", config).sessions
        settings[iterations] = {step.kind: step.settings for step in session.steps}
    assert settings[10]["dti"] == settings[11]["dti"]
    assert settings[10]["qsm"] != settings[11]["qsm"]
    assert settings[10]["dti"]["in_mm"] == []
    assert settings[10]["qsm"]["in_mm"] == ["single_step.residual_spread"]


def test_overrides_replace_the_sidecars(dataset, steps):
    dataset.gre("01", sidecars=False)
    assert len(steps()["qsm"].problems) == 2
    step = steps(echo_times=(0.003, 0.006, 0.009), field_strength=7.0)["qsm"]
    assert step.problems == ()
    assert step.options["echo_times"] == [0.003, 0.006, 0.009]
    options = task(step, dataset.root, dataset.root / "derivatives" / "x").options
    assert options == {"echo_times": [0.003, 0.006, 0.009], "field_strength": 7.0}


def test_every_problem_of_a_series_is_named(dataset, steps):
    made = dataset.gre("01")
    for path in made:
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        content = json.loads(sidecar.read_text())
        del content["MagneticFieldStrength"]
        sidecar.write_text(json.dumps(content | {"EchoTime": 1000 * content["EchoTime"], "Units": "degree"}))
    write_image(made[4], np.ones((4, 4, 4), np.float32), Grid((4, 4, 4), np.eye(4)))
    problems = steps()["qsm"].problems
    for words in (
        ("echo-3_part-mag_MEGRE.nii.gz: dim", "(4, 4, 4)"),
        ("EchoTime", "milliseconds"),
        ("MagneticFieldStrength: not found",),
        ("part-phase", "Units", "'degree'"),
    ):
        assert sum(all(word in problem for word in words) for problem in problems) >= 1, (words, problems)
    assert all(str(dataset.root) not in problem for problem in problems)


def test_sidecars_and_tables_are_inherited(dataset, steps):
    dataset.gre("01", "1", times=(0.01,), sidecars=False)
    dataset.put("MEGRE.json", {"MagneticFieldStrength": 3, "EchoTime": 0.02})
    dataset.put("sub-01/sub-01_MEGRE.json", {"EchoTime": 0.012})
    image = dataset.dwi("01", "1", entities="_dir-AP")
    for ending in (".bval", ".bvec"):
        beside = image.with_name(image.name.replace(".nii.gz", ending))
        beside.rename(dataset.root / "sub-01" / f"sub-01_dir-AP_dwi{ending}")
    found = steps()
    assert found["qsm"].problems == found["dti_dir-AP"].problems == ()
    assert found["dti_dir-AP"].inputs["bvec"] == ("sub-01/sub-01_dir-AP_dwi.bvec",)


def test_phase_without_units_is_noted(dataset, steps):
    for path in dataset.gre("01"):
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        content = json.loads(sidecar.read_text())
        del content["Units"]
        sidecar.write_text(json.dumps(content))
    assert any("Units: not in the sidecar" in note for note in steps()["qsm"].notes)


def test_one_of_several_parts_is_noted(dataset, steps):
    for direction in ("AP", "PA"):
        dataset.dwi("01", entities=f"_dir-{direction}")
    dataset.put("dwi.json", {"MultipartID": "dwi_1"})
    found = steps()
    assert len(found) == 2
    assert all("MultipartID dwi_1" in step.notes[-1] for step in found.values())


def test_a_reference_in_labels_needs_one_label_image(dataset, steps):
    config = load_config(preset="fast", settings=["reference.region=labels", "reference.label_values=[4, 43]"])
    dataset.gre("01")
    assert "labels: exactly one image on the grid" in steps(config=config)["qsm"].problems[0]
    path = dataset.image("derivatives/seg/sub-01/anat/sub-01_dseg.nii.gz", labels=5)
    step = steps(config=config)["qsm"]
    assert step.problems == ()
    assert step.inputs["labels"] == (path.relative_to(dataset.root).as_posix(),)
    assert task(step, dataset.root, dataset.root / "x").one("labels") == path
    dataset.image("derivatives/seg2/sub-01/anat/sub-01_dseg.nii.gz", labels=5)
    assert "seg/" in steps(config=config)["qsm"].problems[0]
    assert "seg2/" in steps(config=config)["qsm"].problems[0]


def test_an_r2_map_is_taken_where_it_is_asked_for(dataset, steps):
    config = load_config(settings=["chi_separation=r2prime"])
    dataset.gre("01")
    assert "r2: exactly one image on the grid" in steps(config=config)["qsm"].problems[0]
    dataset.image("derivatives/relax/sub-01/anat/sub-01_R2map.nii.gz")
    step = steps(config=config)["qsm"]
    assert step.inputs["r2"] == ("derivatives/relax/sub-01/anat/sub-01_R2map.nii.gz",)
    assert any("paramagnetic" in path for path in step.outputs)
    assert "r2" not in steps()["qsm"].inputs
