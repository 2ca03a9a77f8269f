"""Kills of a process while it publishes its outputs, before each of its operations on the file system.

The process is forked. An audit hook counts its operations from the first one of the publication and sends
SIGKILL before a chosen one. Afterwards the folder must hold the old files or the new ones, as a user sees it
who opens them by name.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qsmengine.phantom.bids import write_bids
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.outputs.provenance import file_digest
from qsmengine.pipeline.outputs.publishing import OLD

OPERATIONS = frozenset({"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir"})
VARYING = ("_prov.json",)
"""Files with durations: their configuration decides which run wrote them."""


@dataclass
class Published:
    """States of the folder after the kills.

    Parameters
    ----------
    kills
        Processes that were killed.
    old, new
        Folders that held the old files only, and the new files only.
    mixed
        Operations before which a kill left anything else.
    left
        Operations before which a kill left files that the next run did not remove.
    """

    kills: int = 0
    old: int = 0
    new: int = 0
    mixed: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


def kill_publications(
    folder: Path, write: Callable[[str], object], count: int | None = None, *, every: int = 1
) -> Published:
    """Kill `write("new")` over and over, each time from a folder that `write("old")` has filled.

    Parameters
    ----------
    folder
        Output folder.
    write
        Publishes one of the two versions in it; runs in a fork each time.
    count
        Kills; after the last operation the first one is next. None: each operation once.
    every
        Step from one operation to the next.
    """
    found, expected = Published(), {}
    for version in ("old", "new"):
        run_killed(write, version, None)
        expected[version] = visible(folder)
    run_killed(write, "old", None)
    number = 1
    while count is None or found.kills < count:
        if not run_killed(write, "new", number):
            if number == 1 or count is None:
                break
            number = 1
        else:
            found.kills += 1
            seen = visible(folder)
            found.old += seen == expected["old"]
            found.new += seen == expected["new"]
            if seen not in expected.values():
                found.mixed.append(number)
            number += every
        run_killed(write, "old", None)
        if visible(folder) != expected["old"] or hidden(folder):
            found.left.append(number)
    return found


def run_killed(write: Callable[[str], object], version: str, number: int | None) -> bool:
    """Run `write` in a fork; return whether it was killed before operation `number` of its publication."""
    child = os.fork()
    if child == 0:
        try:
            if number is not None:
                sys.addaudithook(_Killer(number))
            write(version)
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"the run ended with {os.waitstatus_to_exitcode(status)}")
    return False


class _Killer:
    """Audit hook that kills the process before an operation, counted from the folder of the old files."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._publishing = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS:
            return
        if event == "os.mkdir" and Path(os.fsdecode(arguments[0])).name == OLD:
            self._publishing = True
        if self._publishing:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def visible(folder: Path) -> Mapping[str, str]:
    """Return what a user reads below a folder: file -> digest; links to nothing are no files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.endswith(".tmp") for part in name.parts):
            found[name.as_posix()] = _mark(path)
    return found


def hidden(folder: Path) -> list[str]:
    """Return links and temporary folders below a folder and next to it."""
    return [str(p) for p in folder.parent.rglob("*") if p.is_symlink() or p.name.endswith(".tmp")]


def _mark(path: Path) -> str:
    if path.name.endswith(VARYING):
        return str(json.loads(path.read_bytes())["ConfigurationHash"])
    return file_digest(path)


def measure_renames(folder: Path, count: int) -> dict[str, Any]:
    """Kill `qsm --force` over the results of another threshold `count` times; what the folder then held."""
    from qsmengine.cli.main import main

    folder.mkdir(parents=True)
    series = sorted(str(path) for path in _series(folder / "bids").glob("*_MEGRE.nii.gz"))
    fixed = ("--preset", "fast", "--set", "inversion=tkd", "--device", "cpu", "--threads", "1", "--force", "-q")

    def write(version: str) -> None:
        threshold = {"old": 0.1, "new": 0.3}[version]
        phase, magnitude = ([s for s in series if f"part-{p}" in s] for p in ("phase", "mag"))
        arguments = ["qsm", "-p", *phase, "-m", *magnitude, "-o", str(folder / "out"), *fixed]
        code = main([*arguments, "--set", f"inversion.threshold={threshold}"])
        if code != 0:
            raise RuntimeError(f"qsm ended with {code}")

    start = time.perf_counter()
    (folder / "out").mkdir()
    found = kill_publications(folder / "out", write, count)
    return {**asdict(found), "seconds": time.perf_counter() - start}


def _series(bids: Path) -> Path:
    """A small virtual head as a dataset; the folder of its gradient echoes."""
    head = virtual_head(voxel_size=(4.0, 4.0, 4.0))
    return write_bids(head, bids, "01") / "anat"
