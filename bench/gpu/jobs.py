"""Jobs on the GPU, one process each: `python -m bench.gpu.jobs NAME JSON` prints rows of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.launches import clocked_launches
from bench.machine import describe
from bench.qsm import heads
from bench.timing import copy_bandwidth
from qsmengine.backend.cuda import compile_all
from qsmengine.backend.device import Device, resolve_device
from qsmengine.errors import QsmengineError
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config

Rows = Iterator[dict[str, Any]]
ECHOES = 4
HEAD, DATASET = "head", "dataset"
"""Preparations on the CPU: the folders within the work folder, and the jobs that make them."""


def compile_kernels(device: Device, _folder: Path) -> Rows:
    """The machine, every kernel compiled into an empty cache, and how fast a copy is."""
    cupy = device.xp
    free, total = cupy.cuda.runtime.memGetInfo()
    versions = {"cupy": cupy.__version__, "driver": cupy.cuda.runtime.driverGetVersion()}
    yield {"machine": describe(device), **versions, "memory_bytes": total, "free_bytes": free}
    start = time.perf_counter()
    count = compile_all(device)
    yield {"kernels": count, "compile_s": time.perf_counter() - start}
    yield {"copy_bytes_per_second": copy_bandwidth(device)}


def head(_device: Device, folder: Path, shape: list[int]) -> Rows:
    """Make the head that chains run on; needs no GPU."""
    start = time.perf_counter()
    made = folder / "making"
    made.mkdir(parents=True, exist_ok=True)
    heads.make_head(made, (shape[0], shape[1], shape[2]), [ECHOES])
    made.rename(folder / HEAD)
    yield {"head": shape, "seconds": time.perf_counter() - start}


def chain(device: Device, folder: Path, presets: list[str], repeats: int, by_kernel: bool) -> Rows:
    """Whole presets on a series in host memory, first run and repeats, and the time of every kernel."""
    series = heads.load_series(folder / HEAD, ECHOES)
    for preset in presets:
        config = load_config(preset=preset)
        for number in range(repeats):
            _free(device)
            start = time.perf_counter()
            result = run_qsm(series, config, device)
            yield {
                "preset": preset,
                "run": "first" if number == 0 else "warm",
                "seconds": time.perf_counter() - start,
                "steps": {r.step.title: r.seconds for r in result.records},
                "peak_pool_bytes": int(device.xp.get_default_memory_pool().total_bytes()),
            }
            del result
        if by_kernel:
            with clocked_launches(device) as clock:
                run_qsm(series, config, device)
            yield {"preset": preset, "run": "by kernel", "kernels": clock.table()}


def mnlm(device: Device, _folder: Path, shape: list[int], repeats: int) -> Rows:
    """Joint non-local means of 1 and 4 components, one pass and two."""
    from bench.nlm import whole

    for count, lmmse in ((4, False), (1, False), (4, True)):
        yield whole((shape[0], shape[1], shape[2]), count, (5, 1), device, max(2, repeats), lmmse=lmmse)


def tensor(device: Device, _folder: Path, shape: list[int], directions: int, methods: list[str]) -> Rows:
    """Tensor fits with the series on the device, one method a row."""
    from bench.diffusion import Case

    case = Case((shape[0], shape[1], shape[2]), directions)
    for method in methods:
        yield case.compute(device, 5, [method])


def tfce(device: Device, _folder: Path, shape: list[int], subjects: int, permutations: int) -> Rows:
    """Permutation inference with TFCE."""
    from bench.tfce import permutations_of

    yield permutations_of(tuple(shape), subjects, permutations, device)


def dataset(_device: Device, folder: Path, voxel: float, sessions: int) -> Rows:
    """Write a virtual cohort; needs no GPU."""
    from qsmengine.phantom.cohort import CohortSettings, write_cohort
    from qsmengine.phantom.head import virtual_head

    start = time.perf_counter()
    made = folder / "writing"
    write_cohort(made, virtual_head(voxel_size=(voxel,) * 3), CohortSettings(sessions=sessions))
    made.rename(folder / DATASET)
    yield {"sessions": sessions, "voxel_mm": voxel, "seconds": time.perf_counter() - start}


def cohort(device: Device, folder: Path) -> Rows:
    """The virtual cohort through the device, one session after the other."""
    from bench.cohort.scaling import run_plan
    from qsmengine.cohort.plan.build import plan_cohort

    plan = plan_cohort(folder / DATASET, folder / "derivatives", load_config(preset="fast"))
    yield run_plan(plan, 0, str(device))


JOBS: dict[str, Callable[..., Rows]] = {
    "compile": compile_kernels,
    HEAD: head,
    DATASET: dataset,
    "chain": chain,
    "mnlm": mnlm,
    "tensor": tensor,
    "tfce": tfce,
    "cohort": cohort,
}


def _free(device: Device) -> None:
    device.xp.get_default_memory_pool().free_all_blocks()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def main(argv: list[str]) -> int:
    options = json.loads(argv[1])
    name, folder = options.pop("device"), Path(options.pop("folder"))
    try:
        device = resolve_device("cpu" if argv[0] in {HEAD, DATASET} else name)
        for row in JOBS[argv[0]](device, folder, **options):
            print(json.dumps(row, default=_plain), flush=True)
    except QsmengineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
