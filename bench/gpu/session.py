"""Parts one after the other within a time, and a file that holds what is known after each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.gpu.process import Finished, run_process
from bench.machine import ROOT


@dataclass(frozen=True)
class Part:
    """One part of a stay.

    Parameters
    ----------
    name
        For ``--part`` and the result file.
    title
        One line.
    share
        Of the time, relative to those of the other parts.
    run
        Gets the stay and the seconds it may take; returns ``state`` and what was found.
    """

    name: str
    title: str
    share: float
    run: Callable[[Stay, float], dict[str, Any]]


@dataclass
class Stay:
    """Environment and findings of the parts.

    Parameters
    ----------
    path
        The result file.
    work
        Folder for logs, caches and made-up data.
    device
        Name of the device.
    sizes
        Sizes of every part, see :mod:`bench.gpu.sizes`.
    rehearsal
        Whether the stand-in for CuPy takes the GPU's place, so that no number is a measurement.
    env
        Environment of the processes.
    companions
        Processes that run concurrently with the parts, by name.
    """

    path: Path
    work: Path
    device: str
    sizes: dict[str, Any]
    rehearsal: bool
    env: dict[str, str]
    companions: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def run(self, parts: Sequence[Part], seconds: float) -> bool:
        """Run all parts; whether all are ok. A part may use what those before it left of their time."""
        end = time.monotonic() + seconds
        for index, part in enumerate(parts):
            share = part.share / sum(p.share for p in parts[index:])
            self._run_part(part, share * max(0.0, end - time.monotonic()))
        return all(part["state"] in {"ok", "not found"} for part in self.parts)

    def _run_part(self, part: Part, seconds: float) -> None:
        row: dict[str, Any] = {
            "part": part.name, "title": part.title, "measured": not self.rehearsal,
            "state": "begun", "allowed_s": round(seconds, 1),
        }  # fmt: skip
        self.parts.append(row)
        self.write()
        print(f"== {part.name}: {part.title} (at most {seconds:.0f} s)", flush=True)
        start = time.perf_counter()
        try:
            row |= part.run(self, seconds)
        except Exception as error:  # noqa: BLE001  (the other parts still run)
            row |= {"state": "failed", "error": f"{type(error).__name__}: {error}"}
        row["seconds"] = round(time.perf_counter() - start, 2)
        self.write()
        note = " (rehearsal: no measurement)" if self.rehearsal else ""
        print(f"   {row['state']} in {row['seconds']:.1f} s{note}", flush=True)

    def write(self) -> None:
        """Update the result file, completely or not."""
        result = {
            "benchmark": "gpu", "started": self.started, "rehearsal": self.rehearsal, "device": self.device,
            "parts": self.parts,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def job(self, name: str, seconds: float, **options: Any) -> Finished:
        """Run a job of :mod:`bench.gpu.jobs` in a separate process."""
        return self.process([*self.job_command(name, **options)], seconds, name)

    def job_command(self, name: str, **options: Any) -> list[str]:
        """Command line of a job."""
        given = {"device": self.device, "folder": str(self.work), **options}
        return [sys.executable, "-m", "bench.gpu.jobs", name, json.dumps(given)]

    def process(self, command: Sequence[str], seconds: float, log: str, **env: str) -> Finished:
        """Run any command, its output in a file of the work folder."""
        return run_process(command, seconds, {**self.env, **env}, self.work / f"{log}.log")

    def rows_of(self, part: str) -> list[dict[str, Any]]:
        """Rows that an earlier part found."""
        return [row for p in self.parts if p["part"] == part for row in p.get("rows", ())]


def environment(work: Path, first: Sequence[Path] = ()) -> dict[str, str]:
    """Environment of the processes: this source tree, a separate kernel cache, GPU tests must run."""
    path = [*map(str, first), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "CUPY_CACHE_DIR": str(work / "kernel-cache"),
        "QSMENGINE_REQUIRE_GPU": "1",
    }
