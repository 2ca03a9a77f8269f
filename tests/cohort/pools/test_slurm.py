"""A cohort on a real Slurm of one node; skipped where its daemons are not installed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cohort.kills import FAST, derivatives, done_steps, holders, start_run
from qsmengine.cohort.pools.slurm import SlurmProfile, load_profile
from qsmengine.errors import UsageError
from tests.cohort.slurm import slurm
from tests.cohort.small import write_cohort

LIMIT = 240
ROOT = Path(__file__).parents[3]


def jobs(environment):
    found = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%i"], env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


@pytest.mark.slow
def test_a_cohort_completes_although_a_job_is_cancelled(tmp_path, tmp_path_factory):
    bids = write_cohort(tmp_path / "bids", 12, dwi=True)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert start_run(bids, whole, [*FAST, "--workers", "0"]).wait(LIMIT) == 0
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        f"queue: p\njobs: 2\ncores: 1\nmemory: 1GB\nwalltime: '00:10:00'\ninterface: lo\n"
        f"prologue: ['export PYTHONPATH={ROOT}:$PYTHONPATH', 'export PYTHONFAULTHANDLER=1']\n"
    )
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        command = [sys.executable, "-m", "qsmengine", "run", str(bids), str(out), *FAST[:-1]]
        process = subprocess.Popen(
            [*command, "--slurm", str(profile)], env=environment, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + LIMIT
        while (not holders(out) or len(done_steps(out)) < 2) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        submitted = jobs(environment)
        assert submitted
        subprocess.run(["scancel", *submitted], env=environment, check=True)
        while set(submitted) & set(jobs(environment)):
            time.sleep(0.1)
        cancelled = {worker for _, _, worker in done_steps(out).values()}
        assert process.poll() is None
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors
        assert not jobs(environment)
    assert derivatives(out) == derivatives(whole)
    assert len(done_steps(out)) == 24
    workers = {worker for _, _, worker in done_steps(out).values()}
    assert workers > cancelled


def test_a_profile_is_checked_by_file_and_key(tmp_path):
    path = tmp_path / "profile.yaml"
    path.write_text("queue: gpu\njobs: 4\ngpus: 1\nprologue: ['module load cuda']\n")
    assert load_profile(path) == SlurmProfile(queue="gpu", jobs=4, gpus=1, prologue=("module load cuda",))
    for text, key in (("job: 3", "job"), ("jobs: 0", "jobs"), ("memory: lots", "memory"), ("- 1", "profile")):
        path.write_text(text)
        with pytest.raises(UsageError, match=rf"profile\.yaml: {key}"):
            load_profile(path)
    path.write_text("{")
    with pytest.raises(UsageError, match="not YAML"):
        load_profile(path)
    with pytest.raises(UsageError, match="no such file"):
        load_profile(tmp_path / "absent.yaml")
