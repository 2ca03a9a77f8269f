"""A folder of results as runs leave it, made without a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.report.cohort import Cohort, cohort_of
from qsmengine.report.distribution import means_of
from qsmengine.report.quality import find_quality
from qsmengine.report.records import find_series, find_tables

GRID = Grid.from_voxel_size((12, 11, 10), (2.0, 2.0, 2.0))
STEPS = (
    {"Stage": "unwrap", "Method": "romeo", "DOI": "10.1002/mrm.28563",
     "Parameters": {"mode": "template", "template_echo": 1}},
    {"Stage": "inversion", "Method": "tkd", "DOI": "10.1002/mrm.22135", "Parameters": {"threshold": 0.2}},
)  # fmt: skip


def write_session(out: Path, key: str, *, steps=STEPS, notes=(), folder: str | None = None, **record) -> Path:
    """Chi, R2* and provenance of a session; returns the folder of its maps."""
    place = out / (f"{key.replace('_', '/')}/anat" if folder is None else folder)
    rng = np.random.default_rng(len(key))
    for ending in ("Chimap", "R2starmap"):
        name = f"{key}_{ending}" if key else ending
        write_image(place / f"{name}.nii.gz", rng.normal(0, 0.05, GRID.shape).astype("f4"), GRID)
    content = {
        "Software": {"qsmengine": "1.2.3", "kernels": "abc"},
        "Device": "cpu",
        "Acquisition": {"MagneticFieldStrength": 3.0, "EchoTimes": [0.004, 0.02], "VoxelSize": [2, 2, 2]},
        "Steps": list(steps),
        "Inputs": [{"File": "a.nii.gz", "SHA256": "0" * 64}],
        "Notes": list(notes),
        **record,
    }
    path = place / (f"{key}_desc-qsm_prov.json" if key else "desc-qsm_prov.json")
    path.write_text(json.dumps(content))
    return place


def write_table(out: Path, key: str, values: dict[str, float]) -> Path:
    """Region table with the mean chi of structures."""
    path = out / key.replace("_", "/") / "anat" / f"{key}_desc-dgm_stats.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ["region\themisphere\tvolume_mm3\tchi_mean\tchi_sd"]
    for region, value in values.items():
        rows += [f"{region}\tleft\t500\t{value + 1}\t0.1", f"{region}\tbilateral\t1000\t{value}\tn/a"]
    path.write_text("\n".join(rows) + "\n")
    path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": "ppm"}}))
    return path


def cohort_in(out: Path, states, times=None) -> Cohort:
    """Cohort of sessions with these states from the files in a folder."""
    means = map(means_of, find_tables(out))
    return cohort_of(out, states, means, find_quality(out), find_series(out), times)
