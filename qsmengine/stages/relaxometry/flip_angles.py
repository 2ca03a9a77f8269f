"""Spoiled gradient echoes at several flip angles: checks, and the layout that the kernels take.

A volume has a flip angle, a repetition time and an echo time. Volumes with the same flip angle and repetition
time are the echoes of one acquisition; the kernels take them one after the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.pieces import in_pieces
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.records import record
from qsmengine.stages.echoes import checked_mask, echo_first

LARGEST_ANGLE = 180.0
"""Flip angles lie below it [deg]."""
DISTINCT = 1.02
"""Ratio of two flip angles from which on they count as different."""
LONGEST = 2.0
"""Longest repetition time [s]; longer ones are in milliseconds."""
SHORTEST = 5e-4
"""Shortest repetition time [s]; shorter ones are in another unit."""
TINY = 1e-30
"""Least divisor in voxels that become 0."""
LATEST = 1.0
"""Latest echo time [s]."""


@record
class Protocol:
    """Acquisition of the volumes, one entry per volume.

    Parameters
    ----------
    flip_angles
        (volume,) [deg].
    repetition_times, echo_times
        (volume,) [s].

    Raises
    ------
    InputError
        For tables of different lengths, values outside their ranges, and a single flip angle.
    """

    flip_angles: tuple[float, ...]
    repetition_times: tuple[float, ...]
    echo_times: tuple[float, ...]

    def __post_init__(self) -> None:
        counts = [len(self.flip_angles), len(self.repetition_times), len(self.echo_times)]
        if len(set(counts)) > 1:
            raise InputError(
                f"{counts[0]} flip angles, {counts[1]} repetition times, {counts[2]} echo times: "
                "every volume needs one of each",
                field="FlipAngle",
            )
        _check(self.flip_angles, 0.0, LARGEST_ANGLE, "degrees", "FlipAngle")
        _check(self.repetition_times, SHORTEST, LONGEST, "s", "RepetitionTime")
        _check(self.echo_times, 0.0, LATEST, "s", "EchoTime")
        for repetition, echo in zip(self.repetition_times, self.echo_times, strict=True):
            if echo >= repetition:
                raise InputError(
                    f"{echo:g} s is not before the next pulse, {repetition:g} s later", field="EchoTime"
                )
        self._check_angles()

    def _check_angles(self) -> None:
        low, high = min(self.flip_angles), max(self.flip_angles)
        if high < DISTINCT * low:
            named = f"{low:g} degrees" if low == high else f"{low:g} to {high:g} degrees"
            raise InputError(
                f"all volumes have the flip angle {named}; R1 needs two or more different ones",
                field="FlipAngle",
            )
        for volumes in self.acquisitions:
            times = [self.echo_times[v] for v in volumes]
            if len(set(times)) < len(times):
                angle = self.flip_angles[volumes[0]]
                raise InputError(
                    f"two volumes have the flip angle {angle:g} degrees and the same echo time; "
                    "average repetitions first",
                    field="EchoTime",
                )

    @property
    def acquisitions(self) -> tuple[tuple[int, ...], ...]:
        """Volumes of each flip angle and repetition time, in the order of these, by ascending echo time."""
        found: dict[tuple[float, float], list[int]] = {}
        for volume, key in enumerate(zip(self.flip_angles, self.repetition_times, strict=True)):
            found.setdefault(key, []).append(volume)
        return tuple(tuple(sorted(found[key], key=self.echo_times.__getitem__)) for key in sorted(found))

    @property
    def has_decay(self) -> bool:
        """Whether an acquisition has two echoes, so that R2* can be found."""
        return any(len(volumes) > 1 for volumes in self.acquisitions)

    @property
    def same_mean_echo(self) -> bool:
        """Whether all acquisitions have the same echo times."""
        times = {tuple(self.echo_times[v] for v in volumes) for volumes in self.acquisitions}
        return len(times) == 1


@record
class Volumes:
    """Volumes on the device in the order of the kernels, scaled to a largest value of 1 by `scale`.

    Parameters
    ----------
    protocol
        Acquisition.
    signal, mask
        (volume, voxel) float32 and (voxel,) uint8.
    scale
        Factor [1 / unit of the signal].
    device
        Device of the arrays.
    """

    protocol: Protocol
    signal: Array
    mask: Array
    scale: float
    device: Device

    @property
    def tables(self) -> dict[str, Any]:
        """Arguments that both kernels share."""
        groups = self.protocol.acquisitions
        times = np.array([self.protocol.echo_times[v] for group in groups for v in group], np.float32)
        return {
            "signal": self.signal,
            "mask": self.mask,
            "times": self.device.asarray(times),
            "echoes": self.device.asarray(np.array([len(group) for group in groups]), np.int32),
            "scale": self.scale,
        }

    @property
    def flips(self) -> Array:
        """(angle,) flip angles [rad]."""
        angles = [self.protocol.flip_angles[group[0]] for group in self.protocol.acquisitions]
        return self.device.asarray(np.radians(angles))

    @property
    def repetitions(self) -> Array:
        """(angle,) repetition times [s]."""
        groups = self.protocol.acquisitions
        return self.device.asarray(np.array([self.protocol.repetition_times[g[0]] for g in groups]))


def laid_out(spoiled: Array, mask: Array, protocol: Protocol, grid: Grid, device: Device) -> Volumes:
    """Return the volumes of a series (x, y, z, volume) inside `mask` (x, y, z) for the kernels.

    Raises
    ------
    InputError
        For a series that does not match the grid or the protocol, and for an empty mask.
    """
    order = [volume for group in protocol.acquisitions for volume in group]
    if tuple(spoiled.shape) != (*grid.shape, len(order)):
        raise InputError(
            f"the series has shape {tuple(spoiled.shape)}, grid and flip angles need "
            f"{(*grid.shape, len(order))}",
            field="shape",
        )
    inside = checked_mask(mask, grid, device).reshape(-1)
    ordered = spoiled if order == sorted(order) else spoiled[..., order]
    signal = echo_first(ordered, device).reshape(len(order), -1)
    largest = _largest(signal, inside, device)
    return Volumes(protocol, signal, inside, 1.0 / largest if largest > 0 else 1.0, device)


def _largest(signal: Array, inside: Array, device: Device) -> float:
    """Return the largest value of a series (volume, voxel) inside a mask, at least 0."""
    found: list[Array] = []
    in_pieces(
        lambda mask, *volumes: found.extend((volume * mask).max() for volume in volumes),
        (inside, *signal),
        device,
    )
    largest = float(np.max([float(value) for value in found]))
    if math.isfinite(largest):
        return largest
    return max(float(device.xp.where(inside > 0, volume, np.float32(0)).max()) for volume in signal)


def _check(values: tuple[float, ...], low: float, high: float, unit: str, field: str) -> None:
    """Raise InputError for values that do not lie between the limits."""
    numbers: FloatArray = np.asarray(values, dtype=np.float64)
    wrong = [value for value in numbers.tolist() if not (math.isfinite(value) and low < value < high)]
    if wrong:
        thousandth = unit == "s" and all(low < value / 1e3 < high for value in wrong)
        hint = f"; if it is in milliseconds, use {wrong[0] / 1e3:g}" if thousandth else ""
        raise InputError(f"{wrong[0]:g} {unit} is not between {low:g} and {high:g} {unit}{hint}", field=field)
