import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from qsmengine.io.nifti import read_image, write_image
from qsmengine.sessions.qsm_ci import SPANS
from qsmengine.stages.registry import methods_of
from tests.made_sessions import ECHO_TIMES, make_ball
from tools.submissions import main, submissions

ROOT = Path(__file__).resolve().parents[2]
ONE_PER_STAGE = ("romeo", "lbv", "tkd", "phase-lbv", "tfi", "tgv")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submissions")
    main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    ball = make_ball(7)
    grid = ball.series.grid
    local = np.where(ball.mask, ball.total_field - ball.total_field[ball.mask].mean(), 0)
    images = {
        "phase": ball.series.phase, "magnitude": ball.series.magnitude, "mask": ball.mask.astype("u1"),
        "totalfield": ball.total_field * ball.mask, "localfield": local,
    }  # fmt: skip
    for name, array in images.items():
        write_image(folder / f"{name}.nii.gz", array, grid)
    params = {"TE": ECHO_TIMES, "B0": 3.0, "B0_dir": [0, 0, 1], "voxel_size": [2, 2, 2]}
    (folder / "params.json").write_text(json.dumps(params))
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """As in the benchmark's container: the command is on the path."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "qsmengine"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qsmengine "$@"\n')
    program.chmod(0o755)
    paths = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}


def test_every_method_of_the_benchmark_s_stages_has_a_folder(folders):
    stages = ("unwrap", "background", "inversion", "single-step")
    names = {m.name.replace("_", "-") for stage in stages for m in methods_of(stage).values()}
    assert {p.name.removesuffix("-qsmengine") for p in folders.iterdir()} == names
    assert {s.stage for s in submissions()} == set(SPANS)


def test_algorithm_tells_stage_source_and_parameters(folders):
    for folder in folders.iterdir():
        entry = yaml.safe_load((folder / "algorithm.yml").read_text())
        assert {"name", "slug", "stage", "description", "doi", "license", "run", "citation"} <= set(entry)
        assert entry["slug"] == folder.name
        assert entry["stage"] in SPANS
        assert all({"name", "default", "description"} == set(p) for p in entry["parameters"])
    entry = yaml.safe_load((folders / "tkd-qsmengine" / "algorithm.yml").read_text())
    assert (entry["doi"], entry["citation"]) == ("10.1002/mrm.22135", "Shmueli et al. 2009")
    assert {k: entry["parameters"][0][k] for k in ("name", "default")} == {"name": "threshold", "default": 0.15}


@pytest.mark.parametrize("name", ONE_PER_STAGE)
def test_script_gives_the_output_of_its_stage(folders, inputs, environment, tmp_path, name):
    folder = folders / f"{name}-qsmengine"
    stage = yaml.safe_load((folder / "algorithm.yml").read_text())["stage"]
    source = inputs
    if name in {"tfi", "tgv"}:
        source = tmp_path / "input"
        source.mkdir()
        for path in inputs.iterdir():
            (source / path.name).symlink_to(path)
        (source / "config.json").write_text('{"iterations": 3}')
    (tmp_path / "output").mkdir()
    places = {"QSMCI_INPUT": str(source), "QSMCI_OUTPUT": str(tmp_path / "output")}
    done = subprocess.run(
        ["bash", str(folder / "run.sh")], env={**environment, **places}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    (path,) = (tmp_path / "output").iterdir()
    assert path.name == f"{SPANS[stage].output}.nii.gz"
    assert np.abs(read_image(path).array).max() > 0


def test_stages_that_are_tested_are_all():
    stages = {s.stage for s in submissions() if s.slug.removesuffix("-qsmengine") in ONE_PER_STAGE}
    assert stages == set(SPANS)
