"""Commands as separate processes, with the CPU seconds of each run."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.machine import ROOT


class Process:
    """A command to run, and the CPU seconds of each of its runs.

    Parameters
    ----------
    command
        Program and arguments. ``{run}`` in them stands for the number of the run, so that each can write new
        files, as a user's first does.
    folder
        Keeps the bytecode of Python modules.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command, self.cpu = [*command], list[float]()
        own = {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        self._environment = os.environ | own
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __call__(self) -> None:
        """Run the command to its end.

        Raises
        ------
        RuntimeError
            If it fails, with its error text.
        """
        command = [part.replace("{run}", str(len(self.cpu))) for part in self.command]
        before = _children()
        done = subprocess.run(
            command, check=False, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}: {said}")
        self.cpu.append(_children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
