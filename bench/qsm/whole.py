"""`qsmengine qsm` as a user types it: a process from the scanner's files to maps on disk."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.process import Process
from bench.qsm import heads
from qsmengine.io import write_image
from qsmengine.io.atomic import write_json

SHAPE = (184, 222, 198)
"""Grid of the files [voxels of 1 mm]."""
ECHOES = 4
FIELD_STEPS = ("phase-offset", "unwrap", "field")
"""Stages from the wrapped phase to the field map."""
STEPS_PER_TURN = 4096
"""The scanner's phase has twelve bits."""


def write_files(folder: Path, shape: tuple[int, int, int]) -> None:
    """Make a head of 1 mm and write its series as a scanner's converter does: one integer file per echo."""
    heads.make_head(folder, shape, (ECHOES,), field_of_view=shape)
    series = heads.load_series(folder, ECHOES)
    scale = 4095 / float(series.magnitude.max())
    for echo, seconds in enumerate(series.echo_times):
        turns = (series.phase[..., echo] / (2 * np.pi) + 0.5) * STEPS_PER_TURN
        images = {"mag": series.magnitude[..., echo] * scale, "phase": np.floor(turns) % STEPS_PER_TURN}
        for part, image in images.items():
            path = folder / f"sub-01_echo-{echo + 1}_part-{part}_MEGRE.nii.gz"
            write_image(path, image.astype(np.int16), series.grid)
            sidecar = {"EchoTime": seconds, "MagneticFieldStrength": heads.FIELD_STRENGTH}
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)


def run_command(folder: Path, preset: str, device: str, threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of the command, the least of some rounds, with its CPU seconds, steps, and iterations.

    A first run, which writes the bytecode of modules, as an installation does, is not counted.
    """
    out = folder / "out"
    argv = [sys.executable, "-m", "qsmengine", "qsm", "--preset", preset, "--out", str(out), "--quiet"]
    for option, part in (("--magnitude", "mag"), ("--phase", "phase")):
        argv += [option, *(str(path) for path in sorted(folder.glob(f"*_part-{part}_*.nii.gz")))]
    argv += ["--device", device, "--threads", str(threads)]
    command, runs = Process(argv, folder), []
    for _ in range(rounds + 1):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        command()
        runs.append((time.perf_counter() - start, command.cpu[-1], _steps(out)))
    seconds, processor, steps = min(runs[1:])
    field = sum(step["seconds"] for step in steps if step["stage"] in FIELD_STEPS)
    facts = {"preset": preset, "seconds": seconds, "cpu_seconds": processor, "field_seconds": field}
    return {**facts, "iterations": max(step["iterations"] for step in steps), "steps": steps}


def _steps(out: Path) -> list[dict[str, Any]]:
    """Steps with their seconds, from the provenance of a run."""
    path = next(out.rglob("*_desc-qsm_prov.json"))
    found = json.loads(path.read_text(encoding="utf-8"))["Steps"]
    return [
        {
            "stage": step["Stage"],
            "seconds": step["Seconds"],
            "iterations": step.get("Solver", {}).get("Iterations", 0),
        }
        for step in found
    ]
