"""Costs of a session in addition to its reconstruction: host seconds, files, bytes, operations.

The session is that of a virtual head with four gradient echoes and a segmentation, run as a worker runs it.
An audit hook counts the operations on files in the output folder (Python's names; calls of stat and fsync are
not among them).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.machine import ROOT
from bench.qsm.worker import peak_bytes
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.data import GreSeries
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config

OPERATIONS = {
    "open": "open", "os.rename": "rename", "os.link": "link", "os.remove": "remove", "os.mkdir": "mkdir",
    "os.rmdir": "rmdir", "os.listdir": "list", "os.scandir": "list", "os.utime": "touch", "os.symlink": "link",
}  # fmt: skip


def measure_session(folder: Path, voxel_size: float, preset: str) -> dict[str, Any]:
    """Write a session below `folder` and run it in a separate process."""
    head = virtual_head(voxel_size=(voxel_size,) * 3)
    write_cohort(folder / "bids", head, CohortSettings(sessions=1))
    done = subprocess.run(
        [sys.executable, "-m", "bench.cohort.session_cost", str(folder), preset],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"name": "session", "voxel_mm": voxel_size, "preset": preset, **row}


def main(argv: list[str]) -> int:
    folder, preset = Path(argv[0]), argv[1]
    bids, out = folder / "bids", folder / "out"
    config = load_config(preset=preset)
    plan = plan_cohort(bids, out, config)
    (step,) = (step for step in plan.sessions[0].steps if step.kind == "qsm")
    inputs = [bids / path for paths in step.inputs.values() for path in paths]
    computed = _Timed(run_qsm)
    counts: Counter[str] = Counter()
    sys.addaudithook(lambda event, arguments: _count(counts, Places(out), event, arguments))
    start = time.perf_counter()
    with patch("qsmengine.modalities.gre.session.run_qsm", computed):
        outcome = run_cohort(plan, RunSettings(workers=0, device="cpu"))
    seconds = time.perf_counter() - start
    if outcome.exit_code:
        raise RuntimeError(f"{dict(outcome.reasons)}")
    during = Counter(counts)
    start = time.perf_counter()
    write_reports(out)
    pages = time.perf_counter() - start
    files = [path for path in out.rglob("*") if path.is_file()]
    maps = [path for path in files if path.name.endswith(".nii.gz")]
    row = {
        "shape": computed.shape,
        "seconds": seconds,
        "compute_seconds": computed.seconds,
        "host_seconds": seconds - computed.seconds,
        "page_seconds": pages,
        "input_mb": _megabytes(inputs),
        "output_mb": _megabytes(files),
        "map_mb": _megabytes(maps),
        "files": len(files),
        "maps": len(maps),
        "peak_mib": peak_bytes() / 2**20,
        "operations": dict(sorted(during.items())),
    }
    print(json.dumps(row))
    return 0


class _Timed:
    """A reconstruction whose calls are timed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds, self.shape = 0.0, list[int]()

    def __call__(self, series: GreSeries, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = self._function(series, *arguments, **options)
        self.seconds += time.perf_counter() - start
        self.shape = [*series.magnitude.shape]
        return result


def _count(counts: Counter[str], places: Places, event: str, arguments: tuple[Any, ...]) -> None:
    """Count an operation on a file of the output folder, as "claims: open"; results count as "outputs"."""
    if event not in OPERATIONS or not arguments or not isinstance(arguments[0], str | bytes | Path):
        return
    path = Path(str(arguments[0]))
    if path.is_relative_to(places.home):
        where = (*path.relative_to(places.home).parts, "home")[0]
    elif path.is_relative_to(places.out):
        where = "outputs"
    else:
        return
    counts[f"{where}: {OPERATIONS[event]}"] += 1


def _megabytes(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
