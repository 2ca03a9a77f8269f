"""The device that a command computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsmengine.backend.device import Device
    from qsmengine.cli.display.reporter import Reporter


def choose_device(name: str, threads: int | None, reporter: Reporter, *, launch: bool = True) -> Device:
    """Resolve ``--device``; a note on stderr gives the reason where ``auto`` does not use a GPU that is there.

    With ``launch=False`` this process makes no CUDA context, because others compute.

    Raises
    ------
    UsageError, DeviceError
        See :func:`qsmengine.backend.device.resolve_device`.
    """
    from qsmengine.backend.device import resolve_device

    device = resolve_device(name, threads, launch=launch)
    if device.note:
        reporter.note(device.note)
    return device
