"""Reporting: a folder of many sessions without images, reported by a separate process."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import ROOT
from qsmengine.cohort.ledger.places import Places
from qsmengine.io.bids import write_dataset_description
from qsmengine.modalities.quality import quality_table
from qsmengine.modalities.registry import modality_of

MAPS = ("chi", "r2star", "t2star", "ad", "fa", "md", "rd")
STATISTICS = ("mean", "median", "sd", "p05", "p25", "p75", "p95", "min", "max")
STRUCTURES = 24
STEPS = 10


def make_results(out: Path, sessions: int) -> int:
    """Write ledger, provenance and a region table of each session; returns the number of files.

    ``raw``, a folder next to `out`, has sidecars with the times of acquisition.
    """
    Places(out).sessions.mkdir(parents=True)
    rng = np.random.default_rng(0)
    columns = [f"{name}_{statistic}" for name in MAPS for statistic in STATISTICS]
    units = json.dumps({column: {"Units": "1", "Description": column} for column in columns})
    files, raw = 0, out.parent / "raw"
    for number in range(sessions):
        key = f"sub-{number:05d}"
        step = {"state": "done", "seconds": 9.5, "device": "cpu", "attempts": 1}
        record = {"session": key, "steps": {"qsm": step, "dti": step, "regions": step}}
        texts = {Places(out).record(key): json.dumps(record)}
        for folder, kind in (("anat", "qsm"), ("dwi", "dti")):
            place = out / key / folder
            texts[place / f"{key}_desc-{kind}_prov.json"] = json.dumps(_provenance(key, kind, number))
            texts[place / f"{key}_desc-quality_{kind}.tsv"] = _quality(kind, rng)
        table = out / key / "anat" / f"{key}_desc-dgm_stats.tsv"
        texts |= {table: _table(columns, rng), table.with_suffix(".json"): units}
        texts[raw / key / "anat" / f"{key}_MEGRE.json"] = json.dumps({"AcquisitionDateTime": _time(number)})
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        files += len(texts)
    for place, links in ((raw, {}), (out, {"raw": raw.resolve().as_uri()})):
        write_dataset_description(place, name="stubs", version="1", links=links)
    ages = rng.integers(20, 80, sessions)
    people = [f"sub-{number:05d}\t{age}\t{'FM'[number % 2]}" for number, age in enumerate(ages)]
    (out / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex", *people]) + "\n")
    return files + 1


def _time(number: int) -> str:
    return (datetime(2020, 1, 1) + timedelta(hours=8 * number)).isoformat()


def _quality(kind: str, rng: np.random.Generator) -> str:
    """Return a quality table whose measures scatter about the limits of their good ranges."""
    modality = modality_of(kind)
    measures = () if modality is None else modality.measures
    ends = {m.name: (m.good.low or m.good.high or 0.0) for m in measures if m.good is not None}
    values = {name: float(end + (0.3 * abs(end) + 1) * rng.normal(0.8, 0.5)) for name, end in ends.items()}
    return quality_table(measures, values)


def _provenance(key: str, kind: str, number: int) -> dict[str, Any]:
    steps = [
        {"Stage": f"stage{n}", "Method": f"method{n}", "Parameters": {f"value{i}": 0.5 * i for i in range(6)}}
        for n in range(STEPS)
    ]
    names = [f"{key}_echo-{n}_MEGRE.nii.gz" for n in range(16)]
    inputs = [{"File": n, "URI": f"bids:raw:{key}/anat/{n}", "SHA256": "0" * 64} for n in names]
    software = {"qsmengine": "1.0.0", "kernels": "abc", "python": "3.11"}
    return {
        "Kind": kind,
        "Acquisition": {"DeviceSerialNumber": str(number % 3)},
        "Software": software,
        "Device": "cpu",
        "Steps": steps,
        "Inputs": inputs,
        "Notes": [],
    }


def _table(columns: list[str], rng: np.random.Generator) -> str:
    lines = ["\t".join(["region", "hemisphere", "volume_mm3", *columns])]
    for number in range(STRUCTURES):
        for side in ("left", "right", "bilateral"):
            values = rng.normal(size=len(columns) + 1)
            lines.append("\t".join([f"structure{number}", side, *(f"{value:.10g}" for value in values)]))
    return "\n".join(lines) + "\n"


def measure_report(out: Path, sessions: int) -> dict[str, Any]:
    """Make a folder of results at `out` and report it in a new process: seconds, and seconds of CPU.

    The page of the cohort is then written again alone, with those of one session, and opened in Chromium.
    """
    files = make_results(out, sessions)
    seconds, cpu, peak = _reported(out)
    alone, alone_cpu, _ = _reported(out, "--session", "sub-00000")
    page = out / "index.html"
    return {
        "sessions": sessions,
        "files": files,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mib": peak,
        "cohort_seconds": alone,
        "cohort_cpu": alone_cpu,
        "page_mib": page.stat().st_size / 2**20,
        "parts": len(list(out.glob("index-*.html"))),
        "opens": opening_time(page),
    }


def _reported(out: Path, *options: str) -> tuple[float, float, float]:
    """Run ``qsmengine report``; return seconds, seconds of CPU, and the peak memory of children [MiB]."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "qsmengine", "report", str(out), "-q", *options]
    subprocess.run(command, cwd=ROOT, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 2**10


def opening_time(page: Path) -> str:
    """Return the shortest of three times from the start of loading to the table with all scripts run.

    The text is a reason where Chromium or Playwright is absent.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured: no Playwright"
    if program is None:
        return "not measured: no Chromium"
    found = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(3):
            shown = browser.new_page()
            shown.goto(page.as_uri())
            found.append(shown.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            shown.close()
        browser.close()
    return f"{min(found) / 1000:.2f} s"
