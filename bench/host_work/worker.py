"""A process of its own under the stand-in: `python -m bench.host_work.worker FOLDER PRESET ECHOES`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cupy
from standin import counting, memory

from bench.host_work.clock import InsideClock, inside
from bench.qsm import heads
from qsmengine.backend.device import resolve_device
from qsmengine.data import GreSeries
from qsmengine.pipeline.config import load_config
from qsmengine.pipeline.progress import Progress
from qsmengine.pipeline.run import run_qsm

SMALL = (40, 40, 28)
"""Grid of the run before, which imports and compiles what the measured one needs."""


class StepLog:
    """One row a step: its time, that outside the stand-in, what was asked of the device."""

    def __init__(self, clock: InsideClock) -> None:
        self.rows: list[dict[str, Any]] = []
        self._clock = clock
        self._begin()

    def close(self, title: str) -> None:
        """End the row `title`, which began where the one before ended."""
        wall, cpu = time.perf_counter() - self._start, time.process_time() - self._start_cpu
        self._recording.close()
        times = {kind: (self._counts.times(kind), self._counts.bytes(kind)) for kind in counting.KINDS}
        self.rows.append(
            {
                "step": title,
                "seconds": wall,
                "host_seconds": wall - (self._clock.seconds - self._inside),
                "host_cpu_seconds": cpu - (self._clock.cpu_seconds - self._inside_cpu),
                **{kind: {"times": n, "bytes": size} for kind, (n, size) in times.items()},
                "kernels": self._by_name("kernel"),
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
        self._start, self._inside = time.perf_counter(), self._clock.seconds
        self._start_cpu, self._inside_cpu = time.process_time(), self._clock.cpu_seconds

    def _by_name(self, kind: str) -> dict[str, tuple[int, int]]:
        return {name: (times, size) for name, times, size in self._counts.by_name(kind)}


def run(series: GreSeries, preset: str) -> list[dict[str, Any]]:
    """Rows of the steps of a preset on the stand-in for a GPU."""
    device, config = resolve_device("cuda"), load_config(preset=preset)
    with inside(Path(cupy.__file__).parents[1]) as clock:
        log = StepLog(clock)
        run_qsm(series, config, device, progress=log.listen)
    return log.rows


def main(argv: list[str]) -> int:
    folder, preset, echoes = Path(argv[0]), argv[1], int(argv[2])
    load_config(preset=preset)  # an unknown one is refused before any work
    with tempfile.TemporaryDirectory() as small:
        heads.make_head(Path(small), SMALL, [echoes])
        run(heads.load_series(Path(small), echoes), preset)
    print(json.dumps(run(heads.load_series(folder, echoes), preset)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
