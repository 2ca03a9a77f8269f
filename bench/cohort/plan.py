"""Planning: a dataset of many sessions of tiny images, planned by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import ROOT
from bench.qsm.worker import peak_bytes
from qsmengine.cohort.plan import plan_cohort
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.pipeline.config import load_config

ECHO_TIMES = (0.004, 0.012, 0.02, 0.028)
DIRECTIONS = 12
SHAPE = (6, 6, 6)


def make_dataset(root: Path, sessions: int, *, dwi: bool = True) -> int:
    """A dataset of subjects with a session each, four echoes of two parts, sidecars, and a diffusion series.

    Every image has its own affine, as that of another head has. Returns the number of files.
    """
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.10.0"}')
    rng = np.random.default_rng(0)
    scratch = root.parent / "image.nii.gz"
    vectors = rng.standard_normal((3, DIRECTIONS))
    vectors /= np.linalg.norm(vectors, axis=0)
    bvec = "\n".join(" ".join(f"{v:.6f}" for v in row) for row in vectors)
    files = 1
    for number in range(sessions):
        label = f"sub-{number:05d}_ses-1"
        folder = root / f"sub-{number:05d}" / "ses-1"
        anat = folder / "anat"
        anat.mkdir(parents=True)
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        affine[:3, 3] = rng.uniform(-90, 90, 3)
        write_image(scratch, np.zeros(SHAPE, np.float32), Grid(SHAPE, affine))
        image = scratch.read_bytes()
        for echo, echo_time in enumerate(ECHO_TIMES, start=1):
            for part in ("mag", "phase"):
                stem = f"{label}_echo-{echo}_part-{part}_MEGRE"
                (anat / f"{stem}.nii.gz").write_bytes(image)
                sidecar = {"EchoTime": echo_time, "MagneticFieldStrength": 3, "Manufacturer": "Siemens"}
                (anat / f"{stem}.json").write_text(json.dumps(sidecar | {"Units": "arbitrary"}))
                files += 2
        if dwi:
            _write_dwi(folder / "dwi", label, Grid(SHAPE, affine), scratch, bvec)
            files += 4
    return files


def _write_dwi(folder: Path, label: str, grid: Grid, scratch: Path, bvec: str) -> None:
    folder.mkdir()
    write_image(scratch, np.zeros((*SHAPE, DIRECTIONS), np.float32), grid)
    (folder / f"{label}_dwi.nii.gz").write_bytes(scratch.read_bytes())
    (folder / f"{label}_dwi.json").write_text("{}")
    (folder / f"{label}_dwi.bval").write_text(" ".join(["0"] + ["1000"] * (DIRECTIONS - 1)))
    (folder / f"{label}_dwi.bvec").write_text(bvec)


def measure_plan(root: Path, sessions: int) -> dict[str, Any]:
    """Make a dataset below `root` and plan it in a new process: seconds and peak memory."""
    files = make_dataset(root, sessions)
    done = subprocess.run(
        [sys.executable, "-m", "bench.cohort.plan", str(root)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"files": files, **json.loads(done.stdout.splitlines()[-1])}


def main(argv: list[str]) -> int:
    root = Path(argv[0])
    config = load_config()
    start = time.perf_counter()
    plan = plan_cohort(root, root.parent / "out", config)
    seconds = time.perf_counter() - start
    steps = sum(len(session.steps) for session in plan.sessions)
    row = {
        "sessions": len(plan.sessions),
        "runnable": len(plan.runnable),
        "steps": steps,
        "seconds": seconds,
        "ms_per_session": 1000 * seconds / len(plan.sessions),
        "peak_mib": peak_bytes() / 2**20,
    }
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
