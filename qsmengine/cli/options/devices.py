"""Choice of the compute device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsmengine.backend.device import Device
    from qsmengine.cli.display.reporter import Reporter


def choose_device(name: str, threads: int | None, reporter: Reporter, *, launch: bool = True) -> Device:
    """Resolve ``--device``; if ``auto`` skips a GPU that is present, a note on stderr gives the reason.

    With ``launch=False`` this process creates no CUDA context; worker processes do the computing.

    Raises
    ------
    UsageError, DeviceError
        See :func:`qsmengine.backend.device.resolve_device`.
    """
    from qsmengine.backend.device import resolve_device
    from qsmengine.backend.memory import keep_freed_memory

    device = resolve_device(name, threads, launch=launch)
    if launch and device.kind == "cpu":
        keep_freed_memory()
    if device.note:
        reporter.note(device.note)
    return device
