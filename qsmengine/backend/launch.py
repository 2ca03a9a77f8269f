"""Launch of a kernel on the device of its arrays."""

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
        Before launch, for arguments that violate the signature or are on another device.
    """
    on_host = device.kind == "cpu"
    for name in kernel.array_names:
        array = values.get(name)
        if array is not None and isinstance(array, np.ndarray) is not on_host:
            raise InputError(f"kernel {kernel.name}, argument {name}: array does not live on {device}")
    if on_host:
        cpu.call(kernel, device.threads, values)
    else:
        cuda.call(kernel, device, values)
