"""Running a kernel on whichever device its arrays live."""

from __future__ import annotations

from typing import Any

import numpy as np

from qsmengine.backend import cpu, cuda
from qsmengine.backend.device import Device
from qsmengine.backend.kernel import Kernel
from qsmengine.errors import InputError


def launch(kernel: Kernel, device: Device, **values: Any) -> None:
    """Run `kernel` on `device` with arrays and scalars given by name.

    Raises
    ------
    InputError
        Before launch, for arguments that break the signature or live on another device.
    """
    for arg in kernel.arguments:
        array = values.get(arg.name)
        if arg.is_array and array is not None and isinstance(array, np.ndarray) != (device.kind == "cpu"):
            raise InputError(f"kernel {kernel.name}, argument {arg.name}: array does not live on {device}")
    if device.kind == "cpu":
        cpu.call(kernel, device.threads, values)
    else:
        cuda.call(kernel, device, values)
