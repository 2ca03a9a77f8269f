"""Options, processes and tables of `python -m bench qsm`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.machine import ROOT
from bench.qsm.whole import SHAPE as COMMAND_SHAPE
from qsmengine.errors import QsmengineError

PRESETS = {"accurate": 4, "fast": 4, "consensus": 4, "double-echo-flash": 2, "single-echo": 1}
"""Preset -> echoes of the series it gets."""
SHAPE, QUICK_SHAPE = (256, 256, 160), (128, 128, 80)
PARTS = ("command", "presets", "methods", "romeo")
COMMAND_PRESETS = ("accurate", "fast")
ROUNDS = 3
"""Of the whole command."""


class RunError(QsmengineError):
    """A run's process failed."""

    exit_code = 1


class Runner:
    """Runs jobs on one head, each in a separate process."""

    def __init__(self, folder: Path, device: str, threads: int | None) -> None:
        self._folder, self._common = folder, {"device": device, "threads": threads}

    def __call__(self, **job: Any) -> dict[str, Any]:
        """Result of a job.

        Raises
        ------
        RunError
            With what the process wrote, where it failed.
        """
        text = json.dumps({**self._common, **job})
        done = subprocess.run(
            [sys.executable, "-m", "bench.qsm.worker", str(self._folder), text],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RunError(f"{text}: {done.stderr.strip() or f'exit status {done.returncode}'}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def main(argv: list[str]) -> int:
    options = _options(argv)
    if options.from_json is not None:
        result = json.loads(options.from_json.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as files:
            result = measure(options, Path(folder), Path(files))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.doc is not None:
        from bench.qsm.document import document
        from bench.startup import section_of

        kept = section_of(options.doc)
        options.doc.write_text(document(result) + (f"\n{kept}" if kept else ""), encoding="utf-8")
    return 0


def measure(options: argparse.Namespace, folder: Path, files: Path) -> dict[str, Any]:
    """Run all jobs that `options` ask for; `folder` and `files` are empty folders."""
    run = Runner(folder, options.device, options.threads)
    shape = QUICK_SHAPE if options.quick else SHAPE
    presets = {name: PRESETS[name] for name in options.preset or PRESETS}
    parts = options.part or PARTS
    if set(parts) != {"command"}:
        run(what="head", shape=shape, echoes=sorted({*presets.values(), 2}))
    result: dict[str, Any] = {"benchmark": "qsm", "shape": shape, "machine": run(what="machine")}
    if "command" in parts:
        result["command"] = _commands(Runner(files, options.device, options.threads), options)
    if "presets" in parts:
        result["presets"] = [_preset(run, name, echoes) for name, echoes in presets.items()]
    if "methods" in parts:
        result["methods"] = _methods(run, options.method)
    if "romeo" in parts:
        result["romeo"] = [_growth(run, region) for region in ("brain", "image")]
    return result


def _commands(run: Runner, options: argparse.Namespace) -> dict[str, Any]:
    shape = QUICK_SHAPE if options.quick else COMMAND_SHAPE
    run(what="files", shape=shape)
    rows = []
    for preset in COMMAND_PRESETS:
        if options.preset and preset not in options.preset:
            continue
        rows.append(run(what="command", preset=preset, rounds=1 if options.quick else ROUNDS))
        row = rows[-1]
        print(
            f"qsmengine qsm, {preset}: {row['seconds']:.1f} s, {row['cpu_seconds']:.1f} CPU s, "
            f"{row['iterations']} iterations; phase to field {row['field_seconds']:.2f} s",
            flush=True,
        )
    return {"shape": shape, "rounds": 1 if options.quick else ROUNDS, "rows": rows}


def _preset(run: Runner, name: str, echoes: int) -> dict[str, Any]:
    row = run(what="preset", preset=name, echoes=echoes)
    print(f"{name}, {echoes} echoes: {row['seconds']:.1f} s, {row['peak_gib']:.2f} GiB")
    for step in row["steps"]:
        count = f"{step['iterations']:5d} iterations, {step['stopped']}" if step["iterations"] else ""
        print(f"    {step['step']:32} {step['seconds']:8.2f} s {count}", flush=True)
    return row


def _methods(run: Runner, chosen: list[str] | None) -> list[Mapping[str, Any]]:
    from bench.qsm.runs import transforming_methods

    rows: list[Mapping[str, Any]] = []
    print(f"{'method':30} {'timed':>10} {'s':>8} {'FFTs':>6} {'FFTs s':>8} {'factor':>7} {'GiB':>6}")
    for method in transforming_methods():
        name = f"{method.stage}/{method.name}"
        if chosen and name not in chosen:
            continue
        row = run(what="method", stage=method.stage, name=method.name)
        rows.append(row)
        factor = "-" if row["factor"] is None else f"{row['factor']:.2f}"
        print(
            f"{name:30} {row['timed']:>10} {row['seconds']:8.3f} {row['ffts']:6.1f} {row['fft_seconds']:8.3f} "
            f"{factor:>7} {row['peak_gib']:6.2f}",
            flush=True,
        )
    return rows


def _growth(run: Runner, region: str) -> dict[str, Any]:
    row = run(what="growth", region=region, threads=1)
    print(f"ROMEO growth, {region}: {row['voxels']} voxels, {row['per_ten_million']:.2f} s per 10 million")
    return row


def _options(argv: list[str]) -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m bench qsm", description=__doc__)
    arguments.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    arguments.add_argument("--threads", type=int, help="CPU threads")
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK_SHAPE} in place of {SHAPE}")
    arguments.add_argument("--part", action="append", choices=PARTS, help="only this (may be repeated)")
    arguments.add_argument("--preset", action="append", choices=tuple(PRESETS), help="only this preset")
    arguments.add_argument("--method", action="append", metavar="STAGE/NAME", help="only this method")
    arguments.add_argument("--json", type=Path, help="write the result to this file")
    arguments.add_argument("--from-json", type=Path, help="measure nothing, take a result of --json")
    arguments.add_argument("--doc", type=Path, help="write docs/performance.md from the result")
    return arguments.parse_args(argv)
