"""Peak memory of this process during a block.

psutil reads the resident memory of the moment, and cannot restart the kernel's high-water mark.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Context manager; afterwards `bytes` is the peak resident memory during the block.

    On systems that cannot reset the peak it is the peak since the process started.
    """

    bytes = 0

    def __enter__(self) -> Self:
        with suppress(OSError):
            _RESET.write_text("5", encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bytes = _high_water() or _since_start()


def _high_water() -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _since_start() -> int:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    used = getrusage(RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
