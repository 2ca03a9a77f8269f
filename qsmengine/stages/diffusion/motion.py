"""Correction of motion and eddy currents: registration of all volumes to the first b = 0, with their gradients.

Volumes are registered to the first volume with b = 0 (mutual information), b = 0 volumes rigidly, others by the
chosen model: an affine transform includes the shear, scaling and shift that eddy currents cause along the phase
encoding. In the second round each weighted volume is registered to its prediction by a tensor fitted to the
other volumes of the first round, which has the same contrast. Every volume is interpolated once.

A volume whose tissue was rotated by R was measured along R' g (Leemans and Jones 2009, 10.1002/mrm.21890).
Distortion by susceptibility is not corrected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Vector3
from qsmengine.ops.registration import Kind, Volume, register, resample, rotation_of
from qsmengine.stages.diffusion.predicted import predicted_signal
from qsmengine.stages.diffusion.tensor import TensorParams, TensorResult, wls
from qsmengine.stages.params import Field, Params

Register: TypeAlias = Callable[[Volume, Volume, Vector3, Kind], FloatArray]
"""Function that finds a transform, see :func:`qsmengine.ops.registration.register`."""


class MotionParams(Params):
    """Parameters of the correction."""

    model: Literal["rigid", "affine"] = Field(
        "affine", description="transform of weighted volumes: rigid (motion), affine (motion and eddy currents)"
    )
    rounds: int = Field(2, ge=1, le=5, description="registrations of each weighted volume; 1: to b = 0 only")


class MotionResult(NamedTuple):
    """Corrected `series`, rotated directions, and `matrices` (volume, 4, 4) [mm] from reference to volume."""

    series: DwiSeries
    matrices: FloatArray


def correct_motion(
    series: DwiSeries,
    mask: npt.NDArray[np.bool_],
    params: MotionParams,
    *,
    device: Device,
    find: Register = register,
    progress: Callable[[int, int], None] | None = None,
) -> MotionResult:
    """Register every volume to the first with b = 0 and resample it.

    Parameters
    ----------
    series
        Signal (x, y, z, volume) in host memory.
    mask
        (x, y, z): voxels in which the tensor of the second round is fitted.
    find
        Registration function.
    progress
        Receives the number of completed registrations and their total number.

    Raises
    ------
    InputError
        Without a volume that counts as b = 0.
    DeviceError
        If the registration library is missing.
    """
    unweighted = np.flatnonzero(series.b0_volumes)
    if not unweighted.size:
        raise InputError("no volume counts as b = 0: there is nothing to register to", field="bval")
    first = int(unweighted[0])
    count = len(series.b_values)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    done, total = 0, count - 1 + (params.rounds - 1) * (count - len(unweighted))
    current = series
    for round_ in range(params.rounds):
        weighted = [v for v in range(count) if v not in unweighted]
        volumes = weighted if round_ else [v for v in range(count) if v != first]
        for v in volumes:
            fixed = predict(current, v, mask, device) if round_ else series.signal[..., first]
            kind: Kind = "rigid" if v in unweighted else params.model
            matrices[v] = find(fixed, series.signal[..., v], series.grid.voxel_size, kind)
            done += 1
            if progress is not None:
                progress(done, total)
        current = apply_transforms(series, matrices)
    return MotionResult(current, matrices)


def apply_transforms(series: DwiSeries, matrices: FloatArray) -> DwiSeries:
    """Resample and rotate every volume; transforms (volume, 4, 4) [mm] map reference -> volume."""
    signal = np.empty(series.signal.shape, dtype=np.float32, order="F")
    for v, matrix in enumerate(matrices):
        still = np.array_equal(matrix, np.eye(4))
        volume = np.asarray(series.signal[..., v], dtype=np.float32)
        signal[..., v] = volume if still else resample(volume, matrix, series.grid.voxel_size)
    turned = np.stack([rotation_of(m).T @ g for m, g in zip(matrices, series.array_axis_vectors, strict=True)])
    flip = np.array([-1.0 if series.grid.handedness > 0 else 1.0, 1.0, 1.0])
    return replace(series, signal=signal, b_vectors=turned * flip)


@on_device
def predict(series: DwiSeries, volume: int, mask: npt.NDArray[np.bool_], device: Device) -> Volume:
    """Return the signal (x, y, z) of one volume predicted by a tensor fit to the others; 0 outside the mask.

    The prediction is in host memory, for the registration. If the others do not determine a tensor, the volume
    is included in the fit.
    """
    others = series.select(np.delete(np.arange(len(series.b_values)), volume))
    try:
        fit = _tensor(others, mask, device)
    except InputError:
        fit = _tensor(series, mask, device)
    table = series.b_values[[volume]], series.b_vectors[[volume]]
    found = predicted_signal({"s0": fit.s0, "tensor": fit.tensor}, *table)
    return to_numpy(found[..., 0]).astype(np.float32, copy=False)


def _tensor(series: DwiSeries, mask: npt.NDArray[np.bool_], device: Device) -> TensorResult:
    table = series.b_values, series.b_vectors
    return wls(series.signal, mask, *table, series.grid, TensorParams(), device=device)
