"""Real runs from the command line: two at once, signals, a full disk, a read-only one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from bench.cohort.kills import FAST, derivatives, done_steps, holders, start_run
from qsmengine.cohort.ledger.records import read_all
from qsmengine.cohort.ledger.status import cohort_status
from tests.cohort.small import write_cohort

SESSIONS = 4
LIMIT = 120


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("processes") / "bids", SESSIONS)


@pytest.fixture(scope="module")
def whole(bids):
    out = bids.with_name("whole")
    assert start_run(bids, out, [*FAST, "--workers", "0"]).wait(LIMIT) == 0
    return derivatives(out)


def nobody_left(group: int) -> bool:
    """Whether all processes of a group end within half a minute."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def finish(bids, out):
    assert start_run(bids, out, [*FAST, "--workers", "0"]).wait(LIMIT) == 0
    return derivatives(out)


def run(bids, out, *options):
    command = [sys.executable, "-m", "qsmengine", "run", str(bids), str(out), *FAST[:-1], *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


@pytest.mark.slow
def test_two_runs_at_once_do_no_session_twice_and_corrupt_nothing(bids, whole, tmp_path):
    out = tmp_path / "out"
    runs = [start_run(bids, out, [*FAST, "--workers", "1"]) for _ in range(2)]
    assert [process.wait(LIMIT) for process in runs] == [0, 0]
    assert derivatives(out) == whole
    steps = done_steps(out)
    assert len(steps) == SESSIONS
    assert {attempts for attempts, _, _ in steps.values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_with_workers_resumably(bids, whole, tmp_path, number):
    out = tmp_path / "out"
    process = start_run(bids, out, [*FAST, "--workers", "1"])
    deadline = time.monotonic() + LIMIT
    while not holders(out) and time.monotonic() < deadline:
        time.sleep(0.01)
    # Ctrl-C reaches every process of the terminal's group
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    assert process.wait(LIMIT) == 130
    assert not holders(out)
    assert not cohort_status(out).of("running")
    assert nobody_left(process.pid)
    assert finish(bids, out) == whole


def test_a_disk_that_is_full_ends_the_run_cleanly_and_resumably(bids, whole, tmp_path):
    with mounted(tmp_path / "out", "-t", "tmpfs", "-o", "size=400k", "tmpfs") as out:
        found = run(bids, out, "--workers", "0")
        assert found.returncode == 1, found.stderr
        assert "No space left on device" in found.stdout + found.stderr
        assert "Traceback" not in found.stderr
        assert not list(out.rglob("*.nii.gz.*"))
        states = {record.state for _, record, _ in read_all(out) if record}
        assert states <= {"done", "failed", "waiting", "running"}
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        before = done_steps(out)
        assert finish(bids, out) == whole
        assert all(done_steps(out)[name] == facts for name, facts in before.items())


def test_a_read_only_output_is_refused_and_one_that_becomes_so_ends_the_run(bids, whole, tmp_path):
    with mounted(tmp_path / "out", "-t", "tmpfs", "-o", "size=64m", "tmpfs") as out:
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        found = run(bids, out, "--workers", "0")
        assert found.returncode == 1
        assert "Read-only file system" in found.stderr
        assert "Traceback" not in found.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(out)], check=True)
        process = start_run(bids, out, [*FAST, "--workers", "0"])
        while not holders(out) and process.poll() is None:
            time.sleep(0.005)
        subprocess.run(["mount", "-o", "remount,ro", "-f", str(out)], check=False)
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=False, capture_output=True)
        assert process.wait(LIMIT) in {0, 1}
        subprocess.run(["mount", "-o", "remount,rw", str(out)], check=True)
        assert finish(bids, out) == whole


@contextmanager
def mounted(folder, *options):
    """A file system of the test's own; skipped where mounting is not allowed."""
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    made = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot mount: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
