"""Identity of processes, which lets another process decide whether one is still running.

The start time is kept in kernel clock ticks since boot. psutil's ``create_time`` adds the boot time of the wall
clock, so an adjustment of that clock would make a running process look like a different one.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from qsmengine.records import record


@record
class Process:
    """Process on a machine.

    Parameters
    ----------
    host
        Name of the machine.
    space
        Boot of the machine and PID namespace; every container has its own namespace.
    pid
        Process ID.
    started
        Start time in clock ticks since boot, needed because the kernel reuses process IDs.
    """

    host: str
    space: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


def this_process() -> Process:
    """Return the identity of the calling process."""
    return Process(socket.gethostname(), _space(), os.getpid(), _started(os.getpid()) or "")


def is_gone(process: Process) -> bool:
    """Return whether a process has certainly ended; False if this cannot be determined from here."""
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
    """Return the identity of the boot and of the PID namespace; "" if the system has no ``/proc``."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return the start of a process in clock ticks since boot; None if unknown, "" for a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
