"""Transfer of a method's images to the device that computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, to_numpy

IN_PARTS = frozenset({"signal", "components"})
"""Series that may exceed a GPU's memory; their methods transfer them in parts, with the other inputs."""


def place_images(inputs: Mapping[str, Any], device: Device) -> dict[str, Any]:
    """Return `inputs` with every image (x, y, z) on `device`, so that methods can combine them.

    Floating-point images become float32, others keep their type. Series (x, y, z, n) are not moved, nor are the
    images given together with one of `IN_PARTS`. For the CPU everything is copied to host memory.
    """
    if device.kind == "cpu":
        return {name: to_numpy(a) if getattr(a, "ndim", 0) >= 3 else a for name, a in inputs.items()}
    if IN_PARTS & inputs.keys():
        return dict(inputs)
    return {name: _placed(a, device) if getattr(a, "ndim", 0) == 3 else a for name, a in inputs.items()}


def _placed(image: Any, device: Device) -> Any:
    return device.asarray(image, np.float32 if image.dtype.kind == "f" else image.dtype)
