"""Devices: how many there are, and which is current in a thread."""

from __future__ import annotations

import itertools
import os
import threading
from types import TracebackType
from typing import Any

COUNT = int(os.environ.get("GPU_STANDIN_DEVICES", "1"))
"""How many GPUs the stand-in pretends to have."""
_FAILING, _, _AFTER = os.environ.get("GPU_STANDIN_FAILING", "").partition(":")
"""Number of the GPU that fails, and how many launches in a process succeed before it does."""
_LAUNCHES = itertools.count(1)

_THREAD = threading.local()


def current() -> int:
    """Number of this thread's current device."""
    return getattr(_THREAD, "device", 0)


def set_current(index: int) -> None:
    """Make a device current in this thread.

    Raises
    ------
    CUDARuntimeError
        For a device that does not exist.
    """
    if not 0 <= index < COUNT:
        from standin.runtime import CUDARuntimeError

        raise CUDARuntimeError(101)
    _THREAD.device = index


def count_launch() -> None:
    """Count a launch on the current device.

    Raises
    ------
    CUDARuntimeError
        For the GPU that fails.
    """
    if _FAILING and current() == int(_FAILING) and next(_LAUNCHES) > int(_AFTER or 0):
        from standin.runtime import CUDARuntimeError

        raise CUDARuntimeError(719)


class Device:
    """``cupy.cuda.Device``."""

    compute_capability = "90"

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current() if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._before.append(current())
        set_current(self.id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        set_current(self._before.pop())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        """Make this device current for good."""
        set_current(self.id)

    def synchronize(self) -> None:
        """Wait for all streams."""
        from standin.streams import synchronize_device

        synchronize_device()

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free and total bytes."""
        from standin.memory import mem_info

        return mem_info()

    @property
    def pci_bus_id(self) -> str:
        """Address on the bus."""
        return f"0000:{self.id:02X}:00.0"

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of an H100 that programs ask for."""
        return {"MultiProcessorCount": 132, "MaxSharedMemoryPerBlock": 49152, "WarpSize": 32}
