"""Which process this is, so that others can tell whether it still runs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process on a machine.

    Parameters
    ----------
    host
        Name of the machine.
    space
        Boot of the machine and space of process numbers in it: a container has its own.
    pid
        Number of the process.
    started
        When it started, in the kernel's clock ticks: numbers are used again.
    """

    host: str
    space: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), _space(), os.getpid(), _started(os.getpid()) or "")


def is_gone(process: Process) -> bool:
    """Whether a process certainly runs no more; False where it cannot be known from here."""
    if (process.host, process.space) != (socket.gethostname(), _space()):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    started = _started(process.pid)
    return started is not None and started != process.started


@cache
def _space() -> str:
    """Identity of the boot and of the space of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start of a process in clock ticks since boot; None where the system does not tell, "" for a dead one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
