"""The timed runs: a preset, a method with its transforms, the growth of ROMEO."""

from __future__ import annotations

import inspect
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.qsm import heads
from bench.qsm.clock import FftClock, timed_ffts
from qsmengine.backend.device import Device
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.run.progress import Progress
from qsmengine.solvers.stopping import SolverStatus
from qsmengine.stages.method import Method
from qsmengine.stages.phase.growth import edge_costs, unwrap_spatially
from qsmengine.stages.registry import get_method, methods_of

STAGES = ("background", "inversion", "single-step")
"""Stages whose methods transform."""
ITERATIONS = 20
"""Of a timed solver; the time between its first report and its last counts."""
ECHOES = 2
"""Of the series handed to methods that take phases."""


def run_preset(folder: Path, preset: str, echoes: int, device: Device) -> dict[str, Any]:
    """Seconds per step and whole of a preset; cpu_seconds are those of all threads together."""
    series = heads.load_series(folder, echoes)
    processor = [time.process_time()]

    def listen(now: Progress) -> None:
        if now.seconds is not None:
            processor.append(time.process_time())

    start = time.perf_counter()
    result = run_qsm(series, load_config(preset=preset), device, progress=listen)
    seconds = time.perf_counter() - start
    steps = [
        {
            "step": record.step.title,
            "seconds": record.seconds,
            "cpu_seconds": after - before,
            "iterations": record.solver.iteration if record.solver else None,
            "stopped": record.solver.reason if record.solver else None,
        }
        for record, (before, after) in zip(result.records, pairwise(processor), strict=True)
    ]
    return {"preset": preset, "echoes": echoes, "seconds": seconds, "steps": steps}


def transforming_methods() -> tuple[Method, ...]:
    """Methods of the stages that work with transforms."""
    return tuple(method for stage in STAGES for method in methods_of(stage).values())


def run_method(folder: Path, stage: str, name: str, device: Device) -> dict[str, Any]:
    """Seconds of a method and of its transforms: by iteration for a solver, else of a whole second run."""
    method = get_method(stage, name)
    inputs = {key: _input(folder, key) for key in method.required_inputs}
    grid = heads.load_grid(folder)
    with timed_ffts(device) as clock:
        solver = _iterative(method)
        row = _run_solver(method, inputs, grid, device, clock) if solver else None
        if row is None:
            method(inputs, grid, method.params(), device=device)
            row = _run_whole(method, inputs, grid, device, clock)
    return {"method": f"{stage}/{name}", **row}


def run_growth(folder: Path, region: str, device: Device) -> dict[str, Any]:
    """Seconds of ROMEO's growth from the first echo's phase, in the brain or the whole image."""
    series, mask = heads.load_series(folder, ECHOES), heads.load_map(folder, "mask")
    inside = (mask if region == "brain" else np.ones_like(mask)).astype(np.uint8)
    phase, magnitude = (device.asarray(a[..., 0]) for a in (series.phase, series.magnitude))
    inside = device.asarray(inside, np.uint8)
    cost = edge_costs(phase, magnitude, inside, device)
    seconds, processor = [], []
    for _ in range(3):
        start, busy = time.perf_counter(), time.process_time()
        unwrap_spatially(phase, cost, inside, device)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    voxels, best = int(inside.sum()), min(seconds)
    facts = {"region": region, "voxels": voxels, "seconds": best, "cpu_seconds": min(processor)}
    return {**facts, "per_ten_million": best * 1e7 / voxels}


def _iterative(method: Method) -> bool:
    return "iterations" in method.params.model_fields and "callback" in inspect.signature(method.run).parameters


def _input(folder: Path, name: str) -> Any:
    if name == "echo_times":
        return heads.ECHO_TIMES[ECHOES]
    return heads.load_map(folder, input_file(name))


def input_file(name: str) -> str:
    """Return the array of a head that is the input `name` of a method."""
    return f"{name}-{ECHOES}" if name in {"phase", "magnitude"} else name


def _run_solver(
    method: Method, inputs: dict[str, Any], grid: Any, device: Device, clock: FftClock
) -> dict[str, Any] | None:
    """Time between a solver's reports; None where it reports less than twice."""
    marks: list[tuple[int, float, float, int]] = []

    def listen(status: SolverStatus) -> bool:
        device.synchronize()
        marks.append((status.iteration, time.perf_counter(), clock.seconds, clock.count))
        return True

    never = {"tolerance": 1e-12} if "tolerance" in method.params.model_fields else {}
    params = method.params.model_validate({"iterations": ITERATIONS, **never})
    method(inputs, grid, params, device=device, callback=listen)
    rounds = [m for m in marks if m[0] > marks[0][0]]
    if not rounds:
        return None
    count, seconds, transforms, calls = (b - a for a, b in zip(marks[0], rounds[-1], strict=True))
    return _row("iteration", seconds / count, transforms / count, calls / count)


def _run_whole(
    method: Method, inputs: dict[str, Any], grid: Any, device: Device, clock: FftClock
) -> dict[str, Any]:
    before, calls = clock.seconds, clock.count
    start = time.perf_counter()
    method(inputs, grid, method.params(), device=device)
    device.synchronize()
    return _row("whole", time.perf_counter() - start, clock.seconds - before, clock.count - calls)


def _row(what: str, seconds: float, transforms: float, calls: float) -> dict[str, Any]:
    factor = seconds / transforms if transforms > 0 else None
    return {"timed": what, "seconds": seconds, "fft_seconds": transforms, "ffts": calls, "factor": factor}
