"""Reporting: a folder of many sessions without images, reported by a separate process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import ROOT
from qsmengine.cohort.ledger.places import Places

MAPS = ("chi", "r2star", "t2star", "ad", "fa", "md", "rd")
STATISTICS = ("mean", "median", "sd", "p05", "p25", "p75", "p95", "min", "max")
STRUCTURES = 24
STEPS = 10


def make_results(out: Path, sessions: int) -> int:
    """Write ledger, provenance and a region table of each session; returns the number of files."""
    Places(out).sessions.mkdir(parents=True)
    rng = np.random.default_rng(0)
    columns = [f"{name}_{statistic}" for name in MAPS for statistic in STATISTICS]
    units = json.dumps({column: {"Units": "1", "Description": column} for column in columns})
    files = 0
    for number in range(sessions):
        key = f"sub-{number:05d}"
        step = {"state": "done", "seconds": 9.5, "device": "cpu", "attempts": 1}
        record = {"session": key, "steps": {"qsm": step, "dti": step, "regions": step}}
        texts = {Places(out).record(key): json.dumps(record)}
        for folder, kind in (("anat", "qsm"), ("dwi", "dti")):
            texts[out / key / folder / f"{key}_desc-{kind}_prov.json"] = json.dumps(_provenance(key, kind))
        table = out / key / "anat" / f"{key}_desc-dgm_stats.tsv"
        texts |= {table: _table(columns, rng), table.with_suffix(".json"): units}
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        files += len(texts)
    return files


def _provenance(key: str, kind: str) -> dict[str, Any]:
    steps = [
        {"Stage": f"stage{n}", "Method": f"method{n}", "Parameters": {f"value{i}": 0.5 * i for i in range(6)}}
        for n in range(STEPS)
    ]
    inputs = [{"File": f"{key}_echo-{n}_MEGRE.nii.gz", "SHA256": "0" * 64} for n in range(16)]
    software = {"qsmengine": "1.0.0", "kernels": "abc", "python": "3.11"}
    return {"Kind": kind, "Software": software, "Device": "cpu", "Steps": steps, "Inputs": inputs, "Notes": []}


def _table(columns: list[str], rng: np.random.Generator) -> str:
    lines = ["\t".join(["region", "hemisphere", "volume_mm3", *columns])]
    for number in range(STRUCTURES):
        for side in ("left", "right", "bilateral"):
            values = rng.normal(size=len(columns) + 1)
            lines.append("\t".join([f"structure{number}", side, *(f"{value:.10g}" for value in values)]))
    return "\n".join(lines) + "\n"


def measure_report(out: Path, sessions: int) -> dict[str, Any]:
    """Make a folder of results at `out` and report it in a new process: seconds, and seconds of CPU."""
    files = make_results(out, sessions)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "qsmengine", "report", str(out), "-q"], cwd=ROOT, check=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "sessions": sessions,
        "files": files,
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": after.ru_maxrss / 2**10,
    }
