"""Edge weights and growth of ROMEO, as other steps use them too.

Weights and quality are kernels on either device. The growth follows one queue and is serial, so it runs
on the host: arrays of a GPU are copied to host memory for it and the result is copied back.

Reference: Dymerska et al. 2021, 10.1002/mrm.28563.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.host import hostcall
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.romeo import ROMEO_GROW, ROMEO_QUALITY, ROMEO_REGROW, ROMEO_WEIGHTS
from qsmengine.data import Array


def edge_costs(
    phase: Array,
    magnitude: Array,
    mask: Array,
    device: Device,
    *,
    other: Array | None = None,
    ratio: float = 1.0,
    magnitude_weights: bool = False,
) -> Array:
    """Cost of every edge between neighbours, uint8 (axis, x, y, z): 1 (best) .. 255, 0 where there is none.

    cost = 255 (1 - w), w the product over the terms of 0.1 + 0.9 w_i: phase coherence 1 - |d| / pi with
    d the wrapped step; gradient coherence max(0, 1 - |d - d_other ratio|); phase linearity, the product
    over the two triplets in line of max(0, 1 - |wrap(a - 2b + c)| / 2), 0.9 for a triplet that leaves the
    mask; magnitude coherence (min / max)^2. Two more with `magnitude_weights`, where h is half the 95th
    percentile of the magnitude in the mask: 1/2 + 1/2 min(1, min / h) and 1/2 + 1/2 min(1, h / max), low
    for voxels without signal and for those as bright as flowing blood.

    Parameters
    ----------
    phase
        float32 (x, y, z) [rad], wrapped.
    magnitude
        float32 (x, y, z), any unit.
    mask
        uint8 (x, y, z); edges join voxels inside it. What lies outside does not matter.
    device
        Where these arrays live.
    other
        Phase of another echo, for the gradient coherence; left out without one.
    ratio
        TE / TE of the other echo.
    magnitude_weights
        Use those two terms too.
    """
    cost = device.empty((3, *phase.shape), np.uint8)
    second = phase if other is None else other
    launch(
        ROMEO_WEIGHTS,
        device,
        phase=phase,
        other=second,
        magnitude=magnitude,
        mask=mask,
        cost=cost,
        ratio=ratio,
        bright=_half_brightness(magnitude, mask) if magnitude_weights else 1.0,
        second=int(other is not None),
        magnitude_weights=int(magnitude_weights),
    )
    return cost


def _half_brightness(magnitude: Array, mask: Array) -> float:
    value = 0.5 * float(np.percentile(to_numpy(magnitude[mask > 0]), 95))
    return value if value > 0.0 else 1.0


def edge_quality(cost: Array, device: Device) -> Array:
    """Mean weight of the up to six edges of each voxel, (x, y, z), 0 (worst) to 1; 0 without edges."""
    quality = device.empty(tuple(cost.shape[1:]))
    launch(ROMEO_QUALITY, device, cost=cost, quality=quality)
    return quality


def unwrap_spatially(
    phase: Array, cost: Array, mask: Array, device: Device, *, other: Array | None = None, ratio: float = 1.0
) -> Array:
    """Unwrapped phase (x, y, z) [rad] of every voxel in `mask`; 0 outside.

    Each connected component grows from its own best voxel. Its multiple of 2 pi is then set as a whole:
    the median lies in the branch around 0, unless `other` (the phase of another echo, TE ratio times
    longer) fits better to a phase linear in time through 0 with a few turns more or less. With an integer
    ratio the other echo cannot tell, and the branch around 0 stays.
    """
    unwrapped = np.where(to_numpy(mask), to_numpy(phase), np.float32(0))
    hostcall(
        ROMEO_GROW,
        other=to_numpy(phase if other is None else other),
        cost=to_numpy(cost),
        state=to_numpy(mask),
        unwrapped=unwrapped,
        ratio=ratio,
        second=int(other is not None),
    )
    return device.asarray(unwrapped)


def regrow(cost: Array, state: Array, unwrapped: Array, device: Device) -> Array:
    """Unwrapped phase (x, y, z) [rad] with the voxels of state 1 grown again from those of state 2.

    Voxels of state 1 that no voxel of state 2 reaches keep their value.
    """
    result = np.array(to_numpy(unwrapped))
    hostcall(ROMEO_REGROW, cost=to_numpy(cost), state=to_numpy(state), unwrapped=result)
    return device.asarray(result)
