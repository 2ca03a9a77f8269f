"""A separate process under the stand-in: `python -m bench.host_work.worker FOLDER PRESET ECHOES`.

`mnlm`, `tensor` and `perfusion` in a preset's place run non-local means of four components, a weighted tensor
fit, and perfusion from a bolus series.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cupy
from standin import counting, memory

from bench.host_work.clock import InsideClock, inside
from bench.host_work.command import WORKS
from bench.qsm import heads
from qsmengine.backend import cuda
from qsmengine.backend.device import Device, resolve_device
from qsmengine.backend.kernel import Kernel
from qsmengine.data import GreSeries
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.run.progress import Progress

SMALL = (40, 40, 28)
"""Grid of the run before, which imports and compiles what the measured one needs."""


class Launches:
    """Bytes of the arguments, bytes to move and work items of each kernel's launches."""

    def __init__(self) -> None:
        self.calls = 0
        self._sums: dict[str, Counter[str]] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Add up the launches inside the block; replays of a captured graph are not seen."""
        call = cuda.call

        def recording(kernel: Kernel, device: Device, values: Mapping[str, Any]) -> None:
            self.calls += 1
            sums = self._sums.setdefault(kernel.name, Counter())
            sums["arguments"] += sum(values[name].nbytes for name in kernel.array_names)
            sums["moved"] += kernel.bytes_moved(values)
            sums["items"] += kernel.bind(values).items
            call(kernel, device, values)

        cuda.call = recording
        try:
            yield
        finally:
            cuda.call = call

    def row(self, kernel: str, times: int, arguments: int) -> dict[str, float]:
        """Of `times` launches whose arguments have so many bytes, in proportion to those recorded."""
        sums = self._sums[kernel]
        share = arguments / sums["arguments"]
        return {"times": times, "bytes": round(share * sums["moved"]), "items": round(share * sums["items"])}


class StepLog:
    """One row a step: its time, that outside the stand-in, what was asked of the device."""

    def __init__(self, clock: InsideClock, launches: Launches) -> None:
        self.rows: list[dict[str, Any]] = []
        self._clock, self._launches = clock, launches
        self._begin()

    def close(self, title: str) -> None:
        """End the row `title`, which began where the one before ended."""
        wall, cpu = time.perf_counter() - self._start, time.process_time() - self._start_cpu
        inside, clocked = self._clock.seconds - self._inside, self._clocked() - self._clocked_before
        self._recording.close()
        times = {kind: (self._counts.times(kind), self._counts.bytes(kind)) for kind in counting.KINDS}
        self.rows.append(
            {
                "step": title,
                "seconds": wall,
                "host_seconds": wall - inside,
                "host_cpu_seconds": max(0.0, cpu - clocked),
                "called": self._launches.calls - self._calls_before,
                **{kind: {"times": n, "bytes": size} for kind, (n, size) in times.items()},
                "kernels": {n: self._launches.row(n, *c) for n, c in self._by_name("kernel").items()},
                "operations": self._by_name("operation"),
                "peak_bytes": memory.peak_bytes(),
            }
        )
        self._begin()

    def listen(self, now: Progress) -> None:
        """Callback of a run."""
        if now.seconds is not None:
            self.close(now.title)
        elif now.index == 1 and not self.rows:
            self.close("upload")

    def _begin(self) -> None:
        self._recording = ExitStack()
        self._counts = self._recording.enter_context(counting.record())
        memory.reset_peak()
        self._calls_before = self._launches.calls
        self._start, self._inside = time.perf_counter(), self._clock.seconds
        self._start_cpu, self._clocked_before = time.process_time(), self._clocked()

    def _clocked(self) -> float:
        """CPU seconds in the stand-in and of the clock."""
        return self._clock.cpu_seconds + self._clock.own_seconds

    def _by_name(self, kind: str) -> dict[str, tuple[int, int]]:
        return {name: (times, size) for name, times, size in self._counts.by_name(kind)}


def run(series: GreSeries, preset: str) -> list[dict[str, Any]]:
    """Rows of the steps of a preset on the stand-in for a GPU."""
    device, config = resolve_device("cuda"), load_config(preset=preset)
    with inside(Path(cupy.__file__).parents[1]) as clock, (launches := Launches()).recorded():
        log = StepLog(clock, launches)
        run_qsm(series, config, device, progress=log.listen)
    return log.rows


def run_once(title: str, work: Callable[[], object]) -> list[dict[str, Any]]:
    """The row of a piece of work, after a first time that does not count."""
    work()
    with inside(Path(cupy.__file__).parents[1]) as clock, (launches := Launches()).recorded():
        log = StepLog(clock, launches)
        work()
        log.close(title)
    return log.rows


def mnlm() -> list[dict[str, Any]]:
    """Joint non-local means of four components."""
    from bench.nlm import images_of, ours

    device = resolve_device("cuda")
    images, mask = device.asarray(images_of(WORKS["mnlm"], 4)), device.xp.ones(WORKS["mnlm"], bool)
    return run_once("mnlm", lambda: ours(images, mask, (5, 1), device))


def tensor() -> list[dict[str, Any]]:
    """A weighted tensor fit with the series on the device."""
    from bench.diffusion import Case

    device, case = resolve_device("cuda"), Case(WORKS["tensor"], 64)
    signal = device.asarray(case.signal)
    return run_once("tensor", lambda: case.fit("wls", signal, device))


def perfusion() -> list[dict[str, Any]]:
    """Perfusion maps from a bolus series on the device, with the default methods and a given mask."""
    from bench.dsc import Case

    device, case = resolve_device("cuda"), Case(WORKS["perfusion"], 60)
    signal = device.asarray(case.signal.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    return run_once("perfusion", lambda: case.reconstruct("common_shape", signal, device))


def main(argv: list[str]) -> int:
    folder, preset, echoes = Path(argv[0]), argv[1], int(argv[2])
    if preset in WORKS:
        print(json.dumps({"mnlm": mnlm, "tensor": tensor, "perfusion": perfusion}[preset]()))
        return 0
    load_config(preset=preset)  # an unknown one is refused before any work
    with tempfile.TemporaryDirectory() as small:
        heads.make_head(Path(small), SMALL, [echoes])
        run(heads.load_series(Path(small), echoes), preset)
    print(json.dumps(run(heads.load_series(folder, echoes), preset)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
