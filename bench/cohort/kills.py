"""A cohort run whose processes are killed at random moments, compared with an undisturbed one.

Real processes: ``python -m qsmengine run`` is started, its leading process or a worker gets SIGKILL, and
it is started again (after a worker's death it continues without help). At the end the derivatives must have the
bytes of the undisturbed run, and no step that the ledger called done may have been run again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.cohort.ledger.leases import find
from qsmengine.cohort.ledger.places import HOME, Places
from qsmengine.cohort.ledger.records import read_all
from qsmengine.cohort.ledger.status import cohort_status
from qsmengine.io.processes import is_gone
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.outputs.provenance import file_digest

FAST = ("--preset", "fast", "--set", "inversion=tkd", "--set", "relaxometry=none", "--device", "cpu", "-q")
LIMIT = 300.0
"""Seconds after which a run that does not get on counts as hanging."""
SPAN = 0.8
"""Kills fall within this time [s] after the run is seen to work."""


@dataclass
class Kills:
    """Result of the kills.

    Parameters
    ----------
    kills
        Processes killed.
    same
        Whether the derivatives have the bytes of the undisturbed run.
    again
        Steps that were done and nevertheless run again.
    differing
        Files that differ or are on one side only.
    left
        Temporary files and folders after the last run.
    """

    kills: int = 0
    same: bool = False
    again: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


def kill_leader(
    bids: Path, out: Path, whole: Path, count: int, seed: int, options: Sequence[str] = FAST
) -> Kills:
    """Kill the leading process `count` times, start it again each time, and compare with the folder `whole`.

    Once all sessions are done the folder's ledger is taken back by a random session, so that there is work
    for the next kill.
    """
    rng, found, start = np.random.default_rng(seed), Kills(), time.perf_counter()
    while found.kills < count:
        done = done_steps(out)
        process = start_run(bids, out, options)
        ended = _wait_for_work(process, out)
        if not ended:
            _sleep(process, rng.uniform(0, SPAN))
        if process.poll() is None:
            process.kill()
            found.kills += 1
        process.wait()
        found.again += changed(done, done_steps(out))
        if process.returncode == 0:
            _forget_some(out, rng)
    return _finish(bids, out, whole, found, start, options)


def kill_workers(
    bids: Path, out: Path, whole: Path, count: int, seed: int, options: Sequence[str] = FAST
) -> Kills:
    """Kill workers of a run `count` times; it must continue without help. Otherwise as :func:`kill_leader`.

    In one run a session loses its worker once, or twice where it was begun just before the kill.
    """
    rng, found, start = np.random.default_rng(seed), Kills(), time.perf_counter()
    while found.kills < count:
        done = done_steps(out)
        process, victims = start_run(bids, out, options), set[str]()
        while process.poll() is None and found.kills < count:
            _sleep(process, rng.uniform(0, SPAN))
            running = [(key, pid) for key, pid in holders(out) if key not in victims]
            if running:
                key, pid = running[rng.integers(len(running))]
                victims.add(key)
                os.kill(pid, signal.SIGKILL)
                found.kills += 1
        process.wait(LIMIT)
        if process.returncode != 0:
            raise RuntimeError(f"the run ended with {process.returncode}: {cohort_status(out).as_tree()}")
        found.again += changed(done, done_steps(out))
        if found.kills < count:
            _forget_some(out, rng)
    return _finish(bids, out, whole, found, start, options)


def start_run(bids: Path, out: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a run as a user would, in a separate process group."""
    command = [sys.executable, "-m", "qsmengine", "run", str(bids), str(out), *options]
    quiet = {"PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker"}
    return subprocess.Popen(command, start_new_session=True, env=os.environ | quiet)


def holders(out: Path) -> list[tuple[str, int]]:
    """Sessions that a living process holds, with its number."""
    held = []
    for folder in Places(out).claims.glob("*"):
        claim = find(folder)
        if claim and not claim.released and claim.owner and not is_gone(claim.owner):
            held.append((folder.name, claim.owner.pid))
    return held


def done_steps(out: Path) -> dict[str, tuple[int, float, str]]:
    """Steps that the ledger calls done: attempts, seconds, worker."""
    return {
        f"{key} {name}": (step.attempts, step.seconds, step.worker)
        for key, record, _ in read_all(out)
        if record is not None
        for name, step in record.steps.items()
        if step.state == "done"
    }


def changed(before: dict[str, tuple[int, float, str]], after: dict[str, tuple[int, float, str]]) -> list[str]:
    """Steps done before that were run again."""
    return [name for name, facts in before.items() if after.get(name) != facts]


def derivatives(out: Path) -> dict[str, str]:
    """SHA-256 of every file but the engine's own."""
    return {
        path.relative_to(out).as_posix(): file_digest(path)
        for path in out.rglob("*")
        if path.is_file() and HOME not in path.relative_to(out).parts
    }


def _finish(bids: Path, out: Path, whole: Path, found: Kills, start: float, options: Sequence[str]) -> Kills:
    """Run to the end and compare."""
    done = done_steps(out)
    if start_run(bids, out, options).wait(LIMIT) != 0:
        raise RuntimeError("the last run did not succeed")
    found.again += changed(done, done_steps(out))
    ours, theirs = derivatives(out), derivatives(whole)
    found.differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    found.same = bool(theirs) and not found.differing
    found.left = [path.relative_to(out).as_posix() for path in out.rglob("*.tmp")]
    found.seconds = time.perf_counter() - start
    return found


def _wait_for_work(process: subprocess.Popen[bytes], out: Path) -> bool:
    """Wait until a session is held; True if the run ended before."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and not holders(out):
        if time.monotonic() > deadline:
            process.kill()
            raise RuntimeError("the run hangs")
        time.sleep(0.01)
    return process.poll() is not None


def _sleep(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Sleep, at most until the process ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _forget_some(out: Path, rng: np.random.Generator) -> None:
    """Take half of the sessions out of the ledger, so that they are done again."""
    records = sorted(Places(out).sessions.glob("*.json"))
    for index in rng.permutation(len(records))[: max(1, len(records) // 2)]:
        records[index].unlink()


def measure_kills(folder: Path, count: int, seed: int, sessions: int = 12) -> list[dict[str, Any]]:
    """Kill the leading process and workers `count` times each during runs over a small virtual cohort."""
    bids, whole = folder / "bids", folder / "whole"
    head = virtual_head(voxel_size=(5.0, 5.0, 5.0), modalities=("gre", "dwi"))
    write_cohort(bids, head, CohortSettings(sessions=sessions))
    if start_run(bids, whole, FAST).wait(LIMIT) != 0:
        raise RuntimeError("the undisturbed run did not succeed")
    rows = []
    for who, kill, workers in (("leading processes", kill_leader, "1"), ("workers", kill_workers, "2")):
        found = kill(bids, folder / who.split()[0], whole, count, seed, [*FAST, "--workers", workers])
        outcome = "same bytes" if found.same else f"{len(found.differing)} files differ"
        rows.append(
            {
                "name": "kills",
                "who": who,
                "kills": found.kills,
                "outcome": outcome,
                "again": len(found.again),
                "left": len(found.left),
                "seconds": found.seconds,
            }
        )
    return rows
