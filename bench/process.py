"""Commands as separate processes, with the CPU seconds of each run."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.machine import ROOT


class Process:
    """A command to run, and the CPU seconds of each of its runs; bytecode is kept in `folder`."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command, self.cpu = [*command], list[float]()
        own = {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        self._environment = os.environ | own
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __call__(self) -> None:
        """Run the command to its end."""
        discard = subprocess.DEVNULL
        before = _children()
        subprocess.run(self.command, check=True, env=self._environment, stdout=discard, stderr=discard)
        self.cpu.append(_children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
