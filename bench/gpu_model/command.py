"""`python -m bench gpu-model`: predicted times on an H100 and an H200, which nobody has measured.

Takes a result of `bench host-work`: launches, transforms, copies and waits of whole chains. Registers, shared
memory and instructions come from the cubins that NVRTC compiles here (instructions where nvdisasm is
installed), bytes from the kernels' signatures, efficiencies of accesses from `bench access`. Every number of
the result is a prediction.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.gpu_model import hardware as hw
from bench.gpu_model.costs import DIFFUSION, LONG, PERFUSION, kernel_costs, whole_launch
from bench.gpu_model.document import GOALS, document
from bench.gpu_model.predict import KernelCost, StepTime, chain_time, step_time
from bench.machine import ROOT
from qsmengine.backend.signatures import all_kernels
from qsmengine.errors import UsageError

RESULTS = ROOT / "bench" / "results"
VOXELS = {"mnlm": 256 * 256 * 160, "tensor": DIFFUSION["n"], "perfusion": PERFUSION["n"]}
"""Single works -> voxels that the prediction is for."""


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench gpu-model", description=__doc__)
    arguments.add_argument("--host-work", type=Path, help="result of bench host-work (default: the latest)")
    arguments.add_argument("--before", type=Path, help="an earlier one, for the document")
    arguments.add_argument("--access", type=Path, help="result of bench access; every access efficient without")
    arguments.add_argument("--json", type=Path, help="write the predictions to this file")
    arguments.add_argument("--doc", type=Path, help="write docs/gpu.md")
    arguments.add_argument("--note", default="", help="for the document: what has changed since the counts")
    options = arguments.parse_args(argv)
    work = json.loads((options.host_work or latest("host-work", "after")).read_text(encoding="utf-8"))
    access = json.loads(options.access.read_text(encoding="utf-8")) if options.access else []
    result = predict(work, kernel_costs({row["kernel"]: row["used"] for row in access}))
    for name, found in result["works"].items():
        times = ", ".join(f"{gpu} {1e3 * t['seconds']:.1f} ms" for gpu, t in found.items())
        print(f"{name}: predicted {times}; goal {1e3 * GOALS[name]:.0f} ms on an H100")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.doc is not None:
        before = options.before or latest("host-work", "before")
        options.doc.write_text(
            document(result, work, json.loads(before.read_text(encoding="utf-8")), options.note),
            encoding="utf-8",
        )
    return 0


def latest(benchmark: str, suffix: str) -> Path:
    """The newest result of a benchmark under bench/results.

    Raises
    ------
    UsageError
        Where there is none.
    """
    found = sorted(RESULTS.glob(f"{benchmark}-*-{suffix}.json"))
    if not found:
        raise UsageError(f"no bench/results/{benchmark}-DATE-{suffix}.json: run python -m bench {benchmark}")
    return found[-1]


def predict(work: Mapping[str, Any], costs: Mapping[str, KernelCost]) -> dict[str, Any]:
    """Predictions for the chains and single works of `work` and for every kernel."""
    scaled = {name: (rows, 1.0) for name, rows in work["presets"].items()}
    for name, entry in work["works"].items():
        scaled[name] = (entry["rows"], VOXELS[name] / math.prod(entry["shape"]))
    works = {
        name: {gpu.name: _chain([step_time(row, costs, gpu, scale) for row in rows]) for gpu in hw.GPUS}
        for name, (rows, scale) in scaled.items()
    }
    uses = {name: kernel_uses(rows, costs, scale) for name, (rows, scale) in scaled.items()}
    uncounted = {name: sorted({u["kernel"] for u in found} & LONG) for name, found in uses.items()}
    return {
        "benchmark": "gpu-model", "prediction": True, "measured": False, "host_work": work["machine"],
        "works_host": work.get("works_machine", work["machine"]),
        "assumptions": {name: asdict(a) for name, a in hw.ASSUMPTIONS.items()},
        "gpus": [asdict(gpu) for gpu in hw.GPUS], "works": works, "uncounted": uncounted, "uses": uses,
        "kernels": kernel_rows(costs),
    }  # fmt: skip


def _chain(steps: list[StepTime]) -> dict[str, Any]:
    return {"seconds": chain_time(steps), "steps": [{**asdict(s), "seconds": s.seconds} for s in steps]}


def kernel_uses(
    rows: list[dict[str, Any]], costs: Mapping[str, KernelCost], scale: float
) -> list[dict[str, Any]]:
    """Launches, bytes and predicted milliseconds of each kernel in a chain, the slowest first."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        for name, use in row["kernels"].items():
            entry = sums.setdefault(name, [0, 0.0, 0.0])
            entry[0] += use["times"]
            entry[1] += scale * use["bytes"]
            entry[2] += scale * use["items"]
    found = [
        {
            "kernel": name, "launches": int(n), "bytes": moved,
            "ms": {gpu.name: 1e3 * costs[name].seconds(int(n), moved, items, gpu) for gpu in hw.GPUS},
            "floor_ms": {gpu.name: 1e3 * costs[name].floor_seconds(moved, items, gpu) for gpu in hw.GPUS},
        }
        for name, (n, moved, items) in sums.items()
    ]  # fmt: skip
    return sorted(found, key=lambda row: -row["ms"][hw.H100.name])


def kernel_rows(costs: Mapping[str, KernelCost]) -> list[dict[str, Any]]:
    """Every kernel on a whole volume (256 x 256 x 160) or diffusion series: what it takes, predicted times."""
    rows = []
    for kernel in sorted(all_kernels(), key=lambda k: k.name):
        cost = costs.get(kernel.name)
        if cost is None:
            continue
        moved, items = whole_launch(kernel)
        times = {
            gpu.name: {
                "memory_ms": 1e3 * cost.memory_seconds(moved, items, gpu),
                "issue_ms": 1e3 * cost.issue_seconds(items, gpu),
                "ms": 1e3 * cost.seconds(1, moved, items, gpu),
            }
            for gpu in hw.GPUS
        }
        rows.append(
            {
                "kernel": kernel.name, "bytes": moved, "items": items, "registers": cost.registers,
                "shared_bytes": cost.shared_bytes, "warps": cost.occupancy.warps,
                "occupancy": cost.occupancy.share, "limit": cost.occupancy.limit, "cycles": cost.cycles,
                "efficiency": cost.efficiency, "predicted": times,
            }
        )  # fmt: skip
    return rows
