"""Timing: warm-up, rounds in which the competitors take turns, median and spread."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import describe
from qsmengine.backend.device import Device, cuda_devices, resolve_device


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median [s]."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range over the median; 0 of a single run."""
        if len(self.seconds) == 1:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median

    def as_dict(self) -> dict[str, float]:
        """For result files."""
        return {
            "median_s": self.median,
            "min_s": min(self.seconds),
            "spread": self.spread,
            "rounds": len(self.seconds),
        }


def measure(
    runs: Mapping[str, Callable[[], object]], device: Device, *, rounds: int = 9, warm_up: int = 2
) -> dict[str, Timing]:
    """Time `runs` in turns, so that a change of the machine's load meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    for number in range(warm_up + rounds):
        for name, run in runs.items():
            device.synchronize()
            start = time.perf_counter()
            run()
            device.synchronize()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratio(first: Timing, second: Timing) -> float:
    """Median over the rounds of first / second."""
    return statistics.median(a / b for a, b in zip(first.seconds, second.seconds, strict=True))


def copy_bandwidth(device: Device, size: int = 1 << 28) -> float:
    """Bytes per second that a plain copy of `size` bytes reads and writes on `device`, best of five."""
    source, target = device.zeros((size,), np.uint8), device.zeros((size,), np.uint8)
    parts = [slice(size * i // device.threads, size * (i + 1) // device.threads) for i in range(device.threads)]
    with ThreadPoolExecutor(device.threads) as pool:

        def copy() -> None:
            if device.kind == "cuda":
                target[...] = source
            else:
                list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

        timing = measure({"copy": copy}, device, rounds=5)["copy"]
    return 2 * size / min(timing.seconds)


def parser(description: str | None, prog: str) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(prog=f"python -m bench {prog}", description=description)
    made.add_argument("--device", action="append", help="cpu, cuda or cuda:N; default: all there are")
    made.add_argument("--threads", type=int, help="CPU threads")
    made.add_argument("--rounds", type=_rounds, default=9, help="timed repetitions, 1 or more")
    made.add_argument("--json", type=Path, help="write the result to this file")
    return made


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return rounds


def devices(options: argparse.Namespace) -> list[Device]:
    """The devices asked for, or all there are."""
    names: Sequence[str] = options.device or (["cpu", "cuda"] if cuda_devices()[0] else ["cpu"])
    return [resolve_device(name, options.threads) for name in names]


def write_json(path: Path | None, results: Sequence[Mapping[str, Any]]) -> None:
    """Write results, one per device, where a file was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(list(results), indent=1) + "\n", encoding="utf-8")


def report(name: str, device: Device, rows: Sequence[Mapping[str, Any]], **extra: Any) -> dict[str, Any]:
    """One device's result with the machine's description."""
    return {"benchmark": name, "machine": describe(device), **extra, "rows": list(rows)}
