"""The workflow examples run, where the tools are installed; nothing of this package needs them."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsmengine.io.nifti import write_image
from tests.made_sessions import make_ball, write_ball

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
OPTIONS = "--set inversion=tkd background=vsharp background.max_radius=6 --device cpu"


@pytest.fixture
def dataset(tmp_path):
    """Two participants with echoes and labels of the thalamus."""
    root = tmp_path / "my data"
    labels = root / "derivatives" / "labels"
    labels.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "n", "BIDSVersion": "1.10.0"}')
    (labels / "dataset_description.json").write_text(
        '{"Name": "l", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]}'
    )
    ball = make_ball(1)
    array = np.where(ball.chi > 0, 10, np.where(ball.chi < 0, 49, 0)).astype(np.int16)
    for subject in ("01", "02"):
        stem = f"sub-{subject}"
        write_ball(root / stem / "anat", ball, stem + "_{echo}part-{part}_MEGRE")
        write_image(labels / stem / "anat" / f"{stem}_dseg.nii.gz", array, ball.series.grid)
        table = "index\tname\n10\tLeft-Thalamus\n49\tRight-Thalamus\n"
        (labels / stem / "anat" / f"{stem}_dseg.tsv").write_text(table)
    return root


@pytest.fixture
def environment(tmp_path):
    """The console script is on the path."""
    program = tmp_path / "bin" / "qsmengine-bids"
    program.parent.mkdir()
    call = "import sys; from qsmengine.cli.bids.app import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c \'{call}\' "$@"\n')
    program.chmod(0o755)
    paths = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


def run(command, environment, cwd):
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def check(out):
    rows = list(csv.DictReader((out / "group" / "desc-dgm_stats.tsv").read_text().splitlines(), delimiter="\t"))
    assert {row["participant_id"] for row in rows} == {"sub-01", "sub-02"}
    assert "2 done" in (out / "index.html").read_text()


@pytest.mark.slow
def test_snakefile_reconstructs_a_cohort(dataset, environment, tmp_path):
    if shutil.which("snakemake") is None:
        pytest.skip("snakemake is not installed")
    out = dataset / "derivatives" / "qsmengine"
    values = [f"bids={dataset}", f"out={out}", f"options={OPTIONS}"]
    command = ["snakemake", "--snakefile", str(EXAMPLES / "Snakefile"), "--cores", "2", "--config", *values]
    run(command, environment, tmp_path)
    check(out)


@pytest.mark.slow
def test_nextflow_reconstructs_a_cohort(dataset, environment, tmp_path):
    if shutil.which("nextflow") is None or shutil.which("java") is None:
        pytest.skip("nextflow (which needs java) is not installed")
    out = dataset / "derivatives" / "qsmengine"
    values = ["--bids", str(dataset), "--out", str(out), "--options", OPTIONS]
    run(["nextflow", "run", str(EXAMPLES / "main.nf"), *values], environment, tmp_path)
    check(out)


@pytest.mark.parametrize("name", ["Snakefile", "main.nf"])
def test_examples_are_short_and_use_flags_that_exist(name):
    from qsmengine.cli.bids.arguments import ARGUMENTS

    lines = (EXAMPLES / name).read_text().splitlines()
    assert len(lines) <= 26
    flags = {flag for argument in ARGUMENTS for flag in argument.flags}
    known = flags | {"--cores", "--config", "--bids", "--out", "--options"}
    assert {word for line in lines for word in line.replace('"', " ").split() if word.startswith("--")} <= known


def test_slurm_profile_of_the_documentation_is_valid():
    from qsmengine.cohort.pools.slurm import load_profile

    profile = load_profile(EXAMPLES / "slurm.yaml")
    assert (profile.queue, profile.jobs, profile.gpus) == ("gpu", 8, 1)


def test_commands_and_files_of_the_documentation_exist():
    import re
    import tomllib

    from qsmengine.cli.listing import COMMANDS

    text = (ROOT / "docs" / "cohort.md").read_text()
    assert set(re.findall(r"^qsmengine (\w+)", text, flags=re.MULTILINE)) <= set(COMMANDS)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(re.findall(r"^(qsmengine\S*)", text, flags=re.MULTILINE)) <= set(scripts)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / link.partition("#")[0]).exists(), link
