"""The parts of a stay, in their order."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from bench.gpu import tools
from bench.gpu.jobs import DATASET, HEAD
from bench.gpu.process import Finished, json_lines, stop
from bench.gpu.session import Part, Stay

MOST_PROCESSES = 8
"""Test processes that share the GPU."""


def _found(finished: Finished, rows: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    rows = finished.rows if rows is None else rows
    return {"state": finished.state, "rows": rows, **finished.problem()}


def _compile(stay: Stay, seconds: float) -> dict[str, Any]:
    return _found(stay.job("compile", seconds))


def _agree(stay: Stay, seconds: float) -> dict[str, Any]:
    """The tests that ask for a GPU, kernels first; each group may use the time that is left."""
    rows: list[dict[str, Any]] = []
    state, used = "ok", 0.0
    for number, chosen in enumerate(stay.sizes["tests"]):
        finished, outcomes = run_tests(stay, seconds - used, f"tests-{number}", chosen)
        used += finished.seconds
        rows.append({"tests": chosen, "state": finished.state, **summary(outcomes)})
        if finished.state != "ok":
            state = finished.state
            rows[-1] |= finished.problem()
    return {"state": state, "rows": rows}


def run_tests(
    stay: Stay,
    seconds: float,
    log: str,
    chosen: list[str],
    before: tuple[str, ...] = (),
    **env: str,
) -> tuple[Finished, list[dict[str, Any]]]:
    """Run a selection of tests; also returns the outcomes of those that ended in time."""
    outcomes = stay.work / f"{log}.outcomes"
    outcomes.touch()
    command = [
        *before, sys.executable, "-m", "pytest", "-q", "-W", "default", "-p", "bench.gpu.outcomes",
        "-p", "no:cacheprovider", *chosen,
    ]  # fmt: skip
    if not before and not stay.rehearsal and find_spec("xdist") is not None:
        command += ["-n", str(min(MOST_PROCESSES, os.cpu_count() or 1)), "--dist", "loadgroup"]
    finished = stay.process(command, seconds, log, QSMENGINE_OUTCOMES=str(outcomes), **env)
    return finished, json_lines(outcomes.read_text(encoding="utf-8"))


def summary(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the tests that passed, failed, and were skipped; name those that failed."""
    counts = {kind: sum(row["outcome"] == kind for row in outcomes) for kind in ("passed", "failed", "skipped")}
    failures = [row for row in outcomes if row["outcome"] == "failed"]
    return {**counts, "failures": failures}


def _sanitize(stay: Stay, seconds: float) -> dict[str, Any]:
    return tools.sanitize(stay, seconds, run_tests)


def _await(stay: Stay, name: str, seconds: float) -> None:
    """Wait for the result of a process that runs concurrently with the parts, at most half of a part's time."""
    job = stay.companions.get(name)
    if job is not None:
        try:
            job.wait(seconds / 2)
        except subprocess.TimeoutExpired:
            stop(job)
    if not (stay.work / name).is_dir():
        raise RuntimeError(f"{name}: not made in time, or could not be made (see {name}.log)")


def _chain(stay: Stay, seconds: float) -> dict[str, Any]:
    _await(stay, HEAD, seconds)
    sizes = stay.sizes
    options = {"presets": sizes["presets"], "repeats": sizes["repeats"], "by_kernel": True}
    return _found(stay.job("chain", seconds, **options))


def _mnlm(stay: Stay, seconds: float) -> dict[str, Any]:
    return _found(stay.job("mnlm", seconds, shape=stay.sizes["mnlm"], repeats=stay.sizes["repeats"]))


def _tensor(stay: Stay, seconds: float) -> dict[str, Any]:
    return _found(stay.job("tensor", seconds, **stay.sizes["tensor"], methods=stay.sizes["tensor_methods"]))


def _tfce(stay: Stay, seconds: float) -> dict[str, Any]:
    return _found(stay.job("tfce", seconds, **stay.sizes["tfce"]))


def _cohort(stay: Stay, seconds: float) -> dict[str, Any]:
    _await(stay, DATASET, seconds)
    return _found(stay.job("cohort", seconds))


def _profile(stay: Stay, seconds: float) -> dict[str, Any]:
    return tools.profile(stay, seconds, slowest_kernels(stay))


def slowest_kernels(stay: Stay) -> list[str]:
    """Kernels by their time in the chains, the slowest first."""
    milliseconds: dict[str, float] = {}
    for row in stay.rows_of("chain"):
        for kernel in row.get("kernels", ()):
            milliseconds[kernel["kernel"]] = milliseconds.get(kernel["kernel"], 0.0) + kernel["ms"]
    ranked = sorted(milliseconds, key=lambda name: -milliseconds[name])
    return ranked[: stay.sizes["profiled"]]


PARTS = (
    Part("compile", "kernels compile", 10, _compile),
    Part("agree", "CPU and GPU agree: the tests that ask for a GPU", 20, _agree),
    Part("sanitize", "compute-sanitizer on the kernels", 12, _sanitize),
    Part("chain", "whole chains, time by step and by kernel, peak memory", 14, _chain),
    Part("mnlm", "joint non-local means of 4 components", 7, _mnlm),
    Part("tensor", "tensor fits", 8, _tensor),
    Part("tfce", "permutation inference with TFCE", 7, _tfce),
    Part("cohort", "a cohort of sessions on one device", 12, _cohort),
    Part("profile", "hardware counters of the slowest kernels", 10, _profile),
)
