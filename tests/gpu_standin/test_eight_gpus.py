"""One worker per GPU on a machine of eight, of which one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from qsmengine.backend.device import Device
from qsmengine.cohort.ledger.places import Places
from tests.cohort.small import SETTINGS, derivatives, write_cohort

SESSIONS = 10


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("eight") / "bids", SESSIONS)


@pytest.fixture(scope="module")
def one(bids: Path) -> Path:
    """Outputs of a single GPU."""
    out = bids.with_name("one")
    code, text = run(bids, out, "", "--device", "cuda", "--workers", "0", devices=1)
    assert code == 0, text
    return out


def run(bids: Path, out: Path, failing: str, *more: str, devices: int = 8) -> tuple[int, str]:
    """Exit code and messages of a run."""
    settings = [f"--set={setting}" for setting in SETTINGS]
    done = subprocess.run(
        [sys.executable, "-m", "qsmengine", "run", bids, out, "--preset", "fast", *settings, *more],
        env=os.environ | {"GPU_STANDIN_DEVICES": str(devices), "GPU_STANDIN_FAILING": failing},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def devices(out: Path) -> Counter[str]:
    """Number of sessions that each device computed."""
    ledgers = [json.loads(path.read_text()) for path in Places(out).sessions.glob("*.json")]
    return Counter(ledger["steps"]["qsm"]["device"] for ledger in ledgers)


@pytest.mark.parametrize(("count", "failing"), [(8, "3"), (2, "1:2")], ids=["always", "at-work"])
def test_a_failing_gpu_is_left_out_and_no_session_is_lost(
    count: int, failing: str, bids: Path, one: Path, gpu: Device, tmp_path: Path
) -> None:
    assert gpu.kind == "cuda"
    out, bad = tmp_path / "out", int(failing[0])
    code, text = run(bids, out, failing, "--device", "cuda", devices=count)
    assert code == 0, text
    found = devices(out)
    assert found.total() == SESSIONS
    assert set(found) <= {f"cuda:{n}" for n in range(count) if n != bad}
    assert len(found) >= count // 2, "the others share the work"
    assert f"cuda:{bad}" in text
    assert derivatives(out) == derivatives(one)


def test_without_a_usable_gpu_the_run_ends_or_the_cpu_computes(bids: Path, gpu: Device, tmp_path: Path) -> None:
    assert gpu.kind == "cuda"
    code, text = run(bids, tmp_path / "out", "0", "--device", "cuda", devices=1)
    assert code == 4, text
    assert "no usable GPU is left" in text
    code, text = run(bids, tmp_path / "out", "0", "--device", "auto", devices=1)
    assert code == 0, text
    assert set(devices(tmp_path / "out")) == {"cpu"}
    assert "the CPU computes from now on" in text
