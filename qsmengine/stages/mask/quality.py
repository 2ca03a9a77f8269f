"""Phase quality of every voxel of an image without a mask: the mean weight of its edges in ROMEO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.stages.phase.growth import edge_costs, edge_quality


def image_quality(
    magnitudes: Sequence[Array], phases: Sequence[Array], times: Sequence[float], device: Device
) -> Array:
    """Return the quality (x, y, z) of the first echo, 0 (worst) to 1; a second echo adds their coherence.

    Parameters
    ----------
    magnitudes, phases
        (x, y, z) of the first echo, and of the second; phase [rad]. All values must be finite.
    times
        Their echo times [s].
    device
        Where to compute.
    """
    first, weight = device.asarray(phases[0]), device.asarray(magnitudes[0])
    everywhere = device.empty(tuple(first.shape), np.uint8)
    everywhere.fill(1)
    if len(phases) == 1:
        return edge_quality(edge_costs(first, weight, everywhere, device), device)
    other = device.asarray(phases[1])
    cost = edge_costs(first, weight, everywhere, device, other=other, ratio=times[0] / times[1])
    return edge_quality(cost, device)
