"""`python -m bench host-work`: work of the host in a whole chain while a GPU would wait.

The presets run on the stand-in for CuPy: its arrays lie in host memory, and it counts what CuPy would be
asked. Host seconds of a step are the process's CPU seconds less those in the stand-in's own functions, which
stand for the work of the device: kernels, transforms, elementwise operations, copies. What is left is Python,
NumPy and SciPy, all threads together. The cost of the clock, a profile function, is measured beforehand and
subtracted. Imports and compilation do not count: a run on a small head comes first.
Kernels and transforms of a captured graph count at each launch of the graph. Counts and bytes are exact;
seconds are those of this machine's processor. The JSON has the wall clock too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import ROOT, describe
from bench.qsm import heads
from qsmengine.backend.device import cpu
from qsmengine.errors import QsmengineError

STANDIN = ROOT / "tests" / "gpu_standin" / "packages"
"""Folder of the packages that stand in for CuPy."""
PRESETS = ("accurate", "fast")
IDLE = frozenset(
    {"asarray", "ascontiguousarray", "empty", "moveaxis", "reshape", "ravel", "transpose", "broadcast_to"}
)
"""Operations of CuPy that launch nothing where an array needs no change: views, and arrays as they are."""
WORKS = {"mnlm": (64, 64, 40), "tensor": (28, 28, 15), "perfusion": (64, 64, 12)}
"""Shapes of single works: non-local means of four components, a weighted tensor fit of 69 volumes, perfusion
from a bolus series of 60 frames."""
SHAPE, QUICK_SHAPE, ECHOES = (256, 256, 160), (128, 128, 80), 4


class WorkerError(QsmengineError):
    """A run under the stand-in failed."""

    exit_code = 1


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench host-work", description=__doc__)
    arguments.add_argument("--preset", action="append", help=f"default: {', '.join(PRESETS)}")
    arguments.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK_SHAPE} in place of {SHAPE}")
    arguments.add_argument("--no-works", action="store_true", help="presets only, no single works")
    arguments.add_argument("--works-only", type=Path, help="single works only, the rest from an earlier result")
    arguments.add_argument("--standin", type=Path, default=STANDIN, help="folder of the stand-in packages")
    arguments.add_argument("--json", type=Path, help="write the result to this file")
    arguments.add_argument("--before", type=Path, help="an earlier result of --json, to compare with")
    options = arguments.parse_args(argv)
    shape = QUICK_SHAPE if options.quick else tuple(options.shape)
    works = () if options.no_works else tuple(WORKS)
    earlier = json.loads(options.works_only.read_text(encoding="utf-8")) if options.works_only else None
    presets = () if earlier else tuple(options.preset or PRESETS)
    result = measure(presets, shape, works, options.standin)
    if earlier is not None:
        result = earlier | {"works": result["works"], "works_machine": result["machine"]}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    before = json.loads(options.before.read_text(encoding="utf-8")) if options.before else None
    for preset, rows in result["presets"].items():
        print(f"\n{preset}, {' x '.join(map(str, shape))}, {ECHOES} echoes\n\n{table(rows)}")
        if before is not None:
            print(comparison(before["presets"][preset], rows))
    return 0


def measure(
    presets: Sequence[str], shape: tuple[int, ...], works: Sequence[str] = (), standin: Path = STANDIN
) -> dict[str, Any]:
    """Rows by preset and by single work, each in a separate process."""
    machine = describe(cpu())
    with tempfile.TemporaryDirectory() as folder:
        if presets:
            heads.make_head(Path(folder), (shape[0], shape[1], shape[2]), [ECHOES])
        rows = {name: _run(Path(folder), name, standin) for name in (*presets, *works)}
    return {
        "benchmark": "host-work", "machine": machine, "shape": shape, "echoes": ECHOES,
        "presets": {name: rows[name] for name in presets},
        "works": {name: {"shape": WORKS[name], "rows": rows[name]} for name in works},
    }  # fmt: skip


def _run(folder: Path, preset: str, standin: Path) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(standin), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "bench.host_work.worker", str(folder), preset, str(ECHOES)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise WorkerError(f"{preset}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown table of the steps and their sum."""
    rows = list(rows)
    head = ("step", "host s", "kernels", "FFTs", "CuPy operations", "graphs", "to device", "to host", "waits")
    lines = [head, ("---",) * len(head), *(_cells(row) for row in rows), _cells(total(rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def working(row: Mapping[str, Any]) -> dict[str, int]:
    """Operations of CuPy that do something, with their times."""
    return {name: times for name, (times, _) in row["operations"].items() if name not in IDLE}


def total(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the steps of everything the table shows."""
    rows = list(rows)
    kinds = ("kernel", "fft", "to device", "to host", "sync", "graph")
    sums: dict[str, Any] = {
        kind: {what: sum(row[kind][what] for row in rows) for what in ("times", "bytes")} for kind in kinds
    }
    operations = sum((Counter(working(row)) for row in rows), Counter[str]())
    sums["operations"] = {name: (times, 0) for name, times in operations.items()}
    sums |= {what: sum(row[what] for row in rows) for what in ("seconds", "host_seconds", "host_cpu_seconds")}
    return {"step": "whole", **sums}


def comparison(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> str:
    """One sentence: host seconds, waits and copied bytes before and after."""
    old, new = total(before), total(after)
    copied = [sum(t[way]["bytes"] for way in ("to device", "to host")) / 1e6 for t in (old, new)]
    return (
        f"Host seconds {old['host_cpu_seconds']:.2f} before, {new['host_cpu_seconds']:.2f} after "
        f"({new['host_cpu_seconds'] / old['host_cpu_seconds']:.1%}); waits {old['sync']['times']} before, "
        f"{new['sync']['times']} after; copied {copied[0]:.0f} MB before, {copied[1]:.0f} MB after.\n"
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    copies = (f"{row[way]['bytes'] / 1e6:.1f} MB in {row[way]['times']}" for way in ("to device", "to host"))
    kernels, transforms, graphs, waits = (
        str(row[kind]["times"]) for kind in ("kernel", "fft", "graph", "sync")
    )
    operations = str(sum(working(row).values()))
    seconds = f"{row['host_cpu_seconds']:.3f}"
    return row["step"], seconds, kernels, transforms, operations, graphs, *copies, waits
