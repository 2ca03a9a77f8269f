"""NVIDIA's own tools, where they are installed: compute-sanitizer and Nsight Compute."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu.process import TAIL

if TYPE_CHECKING:
    from bench.gpu.session import Stay

CHECKS = ("memcheck", "racecheck", "synccheck")
METRICS = (
    "gpu__time_duration.sum",
    "dram__bytes.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio",
    "launch__registers_per_thread",
    "smsp__inst_executed.sum",
)
FOUND = 86
"""Exit status of compute-sanitizer where it found something."""


def find_tool(name: str) -> str | None:
    """Path of a tool of CUDA's: on PATH, or where CUDA is usually installed."""
    found = shutil.which(name)
    if found is None:
        places = [Path("/usr/local/cuda/bin"), Path("/usr/local/cuda/compute-sanitizer")]
        places += sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)
        found = next((str(place / name) for place in places if (place / name).is_file()), None)
    return found


def sanitize(stay: Stay, seconds: float, run_tests: Callable[..., Any]) -> dict[str, Any]:
    """The tests of the kernels under each check, without CuPy's memory pool."""
    tool = find_tool("compute-sanitizer")
    if tool is None:
        return {"state": "not found", "rows": []}
    rows: list[dict[str, Any]] = []
    used = 0.0
    for number, check in enumerate(CHECKS):
        log = stay.work / f"{check}.log"
        before = (tool, "--tool", check, "--error-exitcode", str(FOUND), "--log-file", str(log))
        limit = (seconds - used) / (len(CHECKS) - number)
        finished, outcomes = run_tests(
            stay, limit, f"tests-{check}", stay.sizes["sanitized"], before,
            QSMENGINE_BARE_MEMORY="1",
        )  # fmt: skip
        used += finished.seconds
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        failed = sum(row["outcome"] == "failed" for row in outcomes)
        row = {"check": check, "state": finished.state, "errors": error_count(text), "tests": len(outcomes)}
        rows.append({**row, "failed": failed, **({"log": text[:TAIL]} if finished.code != 0 else {})})
    worst = next((row["state"] for row in rows if row["state"] != "ok"), "ok")
    return {"state": worst, "rows": rows}


def error_count(log: str) -> int | None:
    """Errors that compute-sanitizer's summary states; None where it came to no summary."""
    counts = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", log)
    return sum(map(int, counts)) if counts else None


def profile(stay: Stay, seconds: float, kernels: list[str]) -> dict[str, Any]:
    """Counters of one launch of each kernel within the first preset's chain."""
    tool = find_tool("ncu")
    if tool is None:
        return {"state": "not found", "rows": []}
    if not kernels:
        raise RuntimeError("the chain gave no times of kernels")
    options = {"presets": stay.sizes["presets"][-1:], "repeats": 1, "by_kernel": False}
    job = stay.job_command("chain", **options)
    rows: list[dict[str, Any]] = []
    used = 0.0
    for number, kernel in enumerate(kernels):
        before = [
            tool, "--csv", "--metrics", ",".join(METRICS), "--kernel-name", f"regex:^{kernel}$",
            "--launch-skip", "1", "--launch-count", "1",
        ]  # fmt: skip
        finished = stay.process([*before, *job], (seconds - used) / (len(kernels) - number), f"ncu-{kernel}")
        used += finished.seconds
        found = counters(finished.output)
        rows.append({"kernel": kernel, "state": finished.state, "counters": found, **finished.problem()})
    return {"state": "ok" if any(row["counters"] for row in rows) else "failed", "rows": rows}


def counters(output: str) -> dict[str, str]:
    """Counter -> value and unit, from ncu's table among other lines."""
    lines = output.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        return {}
    table: Iterable[dict[str, str]] = csv.DictReader(io.StringIO("\n".join(lines[start:])))
    return {
        row["Metric Name"]: f"{row['Metric Value']} {row['Metric Unit']}".strip()
        for row in table
        if row.get("Metric Name")
    }
