"""Motion correction of a bolus series: every frame is registered rigidly to the mean of the baseline.

The registration maximises mutual information, which the passing agent changes little: it darkens vessels and
grey matter, but moves no edge. The transform of a frame is found in the echo with the most signal and applied
to every echo; every frame is interpolated once. Framewise displacement is that of Power et al. 2012,
10.1016/j.neuroimage.2011.10.018::

    FD(k) = sum_i |shift_i(k) - shift_i(k-1)| + 50 mm sum_i |angle_i(k) - angle_i(k-1)|

with the shift of the brain's centre [mm] and the angles about the array axes [rad].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.data import DscSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Vector3
from qsmengine.ops.registration import Kind, Volume, register, resample, rotation_of

Register: TypeAlias = Callable[[Volume, Volume, Vector3, Kind], FloatArray]
"""Function that finds a transform, see :func:`qsmengine.ops.registration.register`."""
HEAD_RADIUS = 50.0
"""Distance at which an angle is converted to a displacement [mm]."""


@dataclass(frozen=True)
class Motion:
    """Corrected series and the motion that was found.

    Parameters
    ----------
    series
        Resampled frames.
    matrices
        (frame, 4, 4) [mm] from the baseline to the frame.
    displacement
        (frame,) framewise displacement [mm]; 0 for the first frame.
    """

    series: DscSeries
    matrices: FloatArray
    displacement: FloatArray

    @property
    def note(self) -> str:
        """Summary for reports."""
        mean, largest = self.displacement[1:].mean(), self.displacement.max()
        return f"motion corrected: framewise displacement {mean:.2f} mm in the mean, {largest:.2f} mm at most"


def correct_motion(
    series: DscSeries,
    baseline: slice,
    mask: npt.NDArray[np.bool_],
    *,
    find: Register = register,
    progress: Callable[[int, int], None] | None = None,
) -> Motion:
    """Register every frame to the mean of the baseline and resample it.

    Parameters
    ----------
    series
        Signals (x, y, z, frame) in host memory.
    baseline
        Frames in the steady state, before the bolus.
    mask
        (x, y, z) brain, whose centre is followed.
    find
        Registration function.
    progress
        Receives the number of frames registered and their total number.

    Raises
    ------
    InputError
        For a baseline without frames.
    DeviceError
        If the registration library is missing.
    """
    brightest = max(series.signals, key=lambda signal: float(signal[mask].sum(dtype=np.float64)))
    still = brightest[..., baseline]
    if not still.shape[3]:
        raise InputError("the baseline has no frame to register to", field="baseline")
    fixed = still.mean(axis=3, dtype=np.float32)
    size, count = series.grid.voxel_size, series.n_frames
    matrices = np.empty((count, 4, 4))
    for frame in range(count):
        matrices[frame] = find(fixed, np.ascontiguousarray(brightest[..., frame]), size, "rigid")
        if progress is not None:
            progress(frame + 1, count)
    signals = tuple(
        np.stack([resample(signal[..., k], matrices[k], size) for k in range(count)], axis=3)
        for signal in series.signals
    )
    centre = np.argwhere(mask).mean(axis=0) * np.asarray(size)
    return Motion(replace(series, signals=signals), matrices, framewise_displacement(matrices, centre))


def framewise_displacement(matrices: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the displacement (frame,) [mm] between neighbouring frames; 0 for the first.

    `matrices` (frame, 4, 4) [mm] and the brain's `centre` (3,) [mm] in their coordinates.
    """
    parameters = np.array([motion_parameters(matrix, centre) for matrix in matrices])
    steps = np.abs(np.diff(parameters, axis=0))
    return np.concatenate([[0.0], steps[:, :3].sum(axis=1) + HEAD_RADIUS * steps[:, 3:].sum(axis=1)])


def motion_parameters(matrix: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the shift of `centre` (3,) [mm] and the angles about the array axes [rad] of a transform."""
    shift = matrix[:3, :3] @ centre + matrix[:3, 3] - centre
    r = rotation_of(matrix)
    angles = [
        np.arctan2(r[2, 1], r[2, 2]),
        -np.arcsin(np.clip(r[2, 0], -1.0, 1.0)),
        np.arctan2(r[1, 0], r[0, 0]),
    ]
    return np.concatenate([shift, angles])
