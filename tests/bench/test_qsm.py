import json
import time

import numpy as np
import pytest

from bench.qsm import command, heads, runs, whole, worker
from bench.qsm.clock import timed_ffts
from bench.qsm.document import document, verdict
from qsmengine.backend.device import cpu
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.trigonometric import TrigonometricTransform
from qsmengine.pipeline.configuration.config import preset_names

SHAPE = (40, 40, 28)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("head")
    heads.make_head(made, SHAPE, (1, 2))
    return made


def test_every_preset_has_its_number_of_echoes():
    assert sorted(command.PRESETS) == sorted(preset_names())
    assert set(command.PRESETS.values()) <= set(heads.ECHO_TIMES)


def test_head_holds_a_brain_and_its_field_in_the_middle(folder):
    mask, grid = heads.load_map(folder, "mask"), heads.load_grid(folder)
    assert mask.shape == SHAPE
    assert 900e3 < mask.sum() * grid.voxel_volume < 1900e3
    centre = np.argwhere(mask).mean(axis=0)
    assert np.abs(centre - (np.array(SHAPE) - 1) / 2).max() < 4
    series = heads.load_series(folder, 2)
    assert series.n_echoes == 2
    outside = np.concatenate([series.magnitude[0], series.magnitude[-1]])
    assert series.magnitude[mask].mean() > 10 * outside.mean()


def test_clock_counts_transforms_and_leaves_the_library_as_it_was():
    device, before = cpu(), TrigonometricTransform.forward
    with timed_ffts(device) as clock:
        fft = RealFFT((16, 12, 10), device)
        image = device.asarray(np.random.default_rng(0).normal(size=fft.shape))
        again = fft.inverse(fft.forward(image))
        transform = TrigonometricTransform("cosine", device)
        back = transform.inverse(transform.forward(again.copy()))
    np.testing.assert_allclose(back, image, atol=1e-5)
    assert clock.count == 4
    assert clock.seconds > 0
    RealFFT((16, 12, 10), device).forward(image)
    assert clock.count == 4
    assert TrigonometricTransform.forward is before


def test_clock_adds_the_time_of_a_call():
    with timed_ffts(cpu()) as clock:
        clock.time(time.sleep, 0.02)
    assert clock.seconds >= 0.02


@pytest.mark.parametrize(
    ("stage", "name", "timed", "transforms"),
    [("inversion", "weighted_tv", "iteration", 4), ("inversion", "weak_harmonic", "iteration", 6),
     ("inversion", "tkd", "whole", None), ("background", "vsharp", "whole", None)],
)  # fmt: skip
def test_a_solver_is_timed_by_iteration_with_the_transforms_it_states(folder, stage, name, timed, transforms):
    row = runs.run_method(folder, stage, name, cpu())
    assert row["timed"] == timed
    assert row["factor"] > 1
    if transforms is not None:
        assert row["ffts"] == transforms


def test_methods_get_what_they_need_from_the_head(folder):
    for method in runs.transforming_methods():
        for name in method.required_inputs:
            assert name == "echo_times" or (folder / f"{runs.input_file(name)}.npy").is_file()


def test_preset_reports_every_step_and_growth_every_voxel(folder):
    row = runs.run_preset(folder, "single-echo", 1, cpu())
    assert [step["step"] for step in row["steps"]][-1] == "reference: region_mean"
    assert sum(step["seconds"] for step in row["steps"]) <= row["seconds"]
    grown = runs.run_growth(folder, "image", cpu())
    assert grown["voxels"] == np.prod(SHAPE)
    assert grown["per_ten_million"] == pytest.approx(grown["seconds"] * 1e7 / grown["voxels"])


def test_the_whole_command_is_timed_with_its_steps(tmp_path, capfd):
    whole.write_files(tmp_path, (40, 44, 36))
    assert len(list(tmp_path.glob("*.nii.gz"))) == 2 * whole.ECHOES
    row = whole.run_command(tmp_path, "fast", "cpu", 1, rounds=1)
    stages = [step["stage"] for step in row["steps"]]
    assert set(whole.FIELD_STEPS) < set(stages)
    assert 0 < row["field_seconds"] < sum(step["seconds"] for step in row["steps"]) < row["seconds"]
    assert row["iterations"] == 14
    assert row["cpu_seconds"] > 0
    assert "Error" not in capfd.readouterr().err


def test_worker_tells_its_memory_and_failures_by_exit_status(folder, capsys):
    job = {"what": "growth", "region": "brain", "device": "cpu", "threads": 1}
    assert worker.main([str(folder), json.dumps(job)]) == 0
    assert 0.01 < json.loads(capsys.readouterr().out)["peak_gib"] < 64
    job = {"what": "method", "stage": "inversion", "name": "nothing", "device": "cpu", "threads": 1}
    assert worker.main([str(folder), json.dumps(job)]) == 2
    with pytest.raises(command.RunError, match="unknown inversion method"):
        command.Runner(folder, "cpu", 1)(what="method", stage="inversion", name="nothing")


def test_document_says_which_goals_are_missed():
    steps = [
        {
            "step": "inversion: x",
            "seconds": 250.0,
            "cpu_seconds": 400.0,
            "iterations": 7,
            "stopped": "converged",
        }
    ]
    method = {"method": "inversion/x", "timed": "iteration", "seconds": 1.0, "fft_seconds": 0.8, "ffts": 4.0}
    machine = {
        "cpu": "C",
        "threads": 2,
        "device": "cpu",
        "gpu": None,
        "fft": "qsmengine",
        "numpy": "2",
        "python": "3.11",
    }
    result = {
        "shape": [256, 256, 160],
        "machine": {**machine, "date": "2026-01-01T00:00", "commit": "abc", "load": [0.1, 0, 0]},
        "presets": [{"preset": "accurate", "echoes": 4, "seconds": 251.0, "peak_gib": 3.0, "steps": steps}],
        "methods": [{**method, "factor": 1.25, "peak_gib": 1.0}],
        "romeo": [
            {"region": "brain", "voxels": 10, "seconds": 1.0, "cpu_seconds": 0.9, "per_ten_million": 1.5}
        ],
    }
    row = {"preset": "fast", "seconds": 5.94, "cpu_seconds": 9.8, "iterations": 24, "field_seconds": 1.6}
    result["command"] = {"shape": [184, 222, 198], "rounds": 3, "rows": [row]}
    text = document(result)
    assert "| fast | 5.9 | 6: met | 9.8 | 24 | 1.60 | 1.5: **missed** |" in text
    assert "184 x 222 x 198 voxels" in text
    assert "| accurate | 4 | 251.0 | 240: **missed** | 400.0 | 3.00 | 4: met |" in text
    assert "| inversion/x | iteration | 1.000 | 4 | 1.25 | 2: met | 1.00 |" in text
    assert "| brain | 10 | 1.00 | 0.90 | 1.50 | 2: met |" in text
    assert verdict(2.0, 2.0) == "2: met"
    assert "| accurate | 4 | 251.0 |  | 400.0 | 3.00 |  |" in document({**result, "shape": [8, 8, 8]})


def test_an_option_that_names_no_preset_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--preset", "nothing"])
    assert "--preset" in capsys.readouterr().err
