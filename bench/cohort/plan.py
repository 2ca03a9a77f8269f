"""Planning: a dataset of many sessions of tiny images, planned by a separate process."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from bench.machine import ROOT
from bench.qsm.worker import peak_bytes
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.pipeline.configuration.config import load_config

ECHO_TIMES = (0.004, 0.012, 0.02, 0.028)
DIRECTIONS = 12
SHAPE = (6, 6, 6)


def make_dataset(root: Path, sessions: int, *, dwi: bool = True) -> int:
    """Subjects with a session each: four echoes of two parts with sidecars, a diffusion series, labels.

    Every session has its own affine, as that of another head has. Returns the number of files.
    """
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.10.0"}')
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3, DIRECTIONS))
    vectors /= np.linalg.norm(vectors, axis=0)
    tables = {
        ".bvec": "\n".join(" ".join(f"{v:.6f}" for v in row) for row in vectors),
        ".bval": " ".join(["0"] + ["1000"] * (DIRECTIONS - 1)),
    }
    _write_derivative(root / "derivatives" / "seg")
    files = 3
    for number in range(sessions):
        label = f"sub-{number:05d}_ses-1"
        folder = root / f"sub-{number:05d}" / "ses-1"
        place = rng.uniform(-90, 90, 3)
        image = _image(place)
        for echo, echo_time in enumerate(ECHO_TIMES, start=1):
            for part in ("mag", "phase"):
                sidecar = {"EchoTime": echo_time, "MagneticFieldStrength": 3, "Units": "arbitrary"}
                stem = f"{label}_echo-{echo}_part-{part}_MEGRE"
                files += _write(folder / "anat", stem, image, {".json": json.dumps(sidecar)})
        if dwi:
            image = _image(place, DIRECTIONS)
            files += _write(folder / "dwi", f"{label}_dwi", image, {".json": "{}", **tables})
        labels = root / "derivatives" / "seg" / folder.relative_to(root) / "anat"
        files += _write(labels, f"{label}_dseg", _image(place), {})
    return files


def _write_derivative(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text('{"Name": "labels", "BIDSVersion": "1.10.0"}')
    (folder / "dseg.tsv").write_text("index\tname\n1\tPutamen\n")


def _image(place: npt.NDArray[np.float64], volumes: int = 1) -> bytes:
    """A compressed image of zeros whose first voxel is at `place` [mm]."""
    header: Any = nib.Nifti1Header()
    header.set_data_shape(SHAPE if volumes == 1 else (*SHAPE, volumes))
    header.set_data_dtype(np.int16)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = place
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    voxels = bytes(2 * volumes * int(np.prod(SHAPE)))
    return gzip.compress(header.binaryblock + b"\0\0\0\0" + voxels, 1, mtime=0)


def _write(folder: Path, stem: str, image: bytes, texts: Mapping[str, str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.nii.gz").write_bytes(image)
    for ending, text in texts.items():
        (folder / f"{stem}{ending}").write_text(text)
    return 1 + len(texts)


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
    start, cpu = time.perf_counter(), time.process_time()
    plan = plan_cohort(root, root.parent / "out", config)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    steps = sum(len(session.steps) for session in plan.sessions)
    row = {
        "sessions": len(plan.sessions),
        "runnable": len(plan.runnable),
        "steps": steps,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ms_per_session": 1000 * seconds / len(plan.sessions),
        "peak_mib": peak_bytes() / 2**20,
    }
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
