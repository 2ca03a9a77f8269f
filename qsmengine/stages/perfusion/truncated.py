"""Deconvolution by a truncated singular value decomposition of the circulant matrix of the AIF.

Curves are padded with zeros to L = 2N samples, so the result does not depend on when the bolus arrives. The
Fourier transform diagonalises a circulant matrix, with the singular values |A_k|, so truncation below P max
|A| is

    f_k = C_k / (A_k dt)  where |A_k| >= P max |A|, else 0.

`csvd` uses one threshold P. `osvd` raises it in steps until the oscillation index

    OI = (1 / L) (1 / max f) sum_(j=2)^(L-1) |f_j - 2 f_(j-1) + f_(j-2)|

(not cyclic) is at most `oscillation` for the first time; voxels that never get there keep the largest
threshold. Smooth curves keep more of their spectrum than noisy ones.

The residual is the share of the padded curve's power in the dropped bins.

Reference: Wu et al. 2003, 10.1002/mrm.10522.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.deconvolution import TRUNCATED_RESIDUE
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.maps import INPUTS, OUTPUTS, MapParams, Maps, checked_aif, perfusion_maps
from qsmengine.stages.perfusion.transform import (
    FloatArray,
    inverse_weights,
    multiplicity,
    padded_spectrum,
    tables,
    work_space,
)

_NO_LIMIT = 1e30


class CsvdParams(MapParams):
    """Parameters of cSVD."""

    threshold: float = Field(
        0.1, ge=0.001, le=0.95, description="P: singular values below P times the largest are dropped"
    )


class OsvdParams(MapParams):
    """Parameters of oSVD."""

    oscillation: float = Field(
        0.035, gt=0, le=1, description="largest oscillation index of the residue function"
    )
    threshold_step: float = Field(
        0.01, ge=0.001, le=0.2, description="first threshold P, and step to the next one"
    )
    largest_threshold: float = Field(0.95, gt=0, le=0.99, description="largest threshold P")


def csvd(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: CsvdParams,
    *,
    device: Device,
) -> Maps:
    """Deconvolve `dr2star` (x, y, z, frame) [1/s] by `aif` (frame,) [1/s] inside `mask` with one threshold.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, frame times that are not evenly spaced, an AIF without
        area.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    return _truncated(curves, aif, np.array([params.threshold]), _NO_LIMIT, params, device)


def osvd(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: OsvdParams,
    *,
    device: Device,
) -> Maps:
    """Deconvolve `dr2star` (x, y, z, frame) [1/s] by `aif` (frame,) [1/s] with a threshold for each voxel.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        As :func:`csvd`.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    step, largest = params.threshold_step, max(params.largest_threshold, params.threshold_step)
    thresholds = step * np.arange(1, int(largest / step + 1e-9) + 1, dtype=np.float64)
    return _truncated(curves, aif, thresholds, params.oscillation, params, device)


def _truncated(
    curves: Curves, aif: Array, thresholds: FloatArray, limit: float, params: MapParams, device: Device
) -> Maps:
    frames = curves.frames
    artery = checked_aif(aif, frames)
    spectrum = padded_spectrum(artery) * curves.step
    size = np.abs(spectrum) / np.abs(spectrum).max()
    order = np.argsort(size, kind="stable")
    counts = (size < thresholds[:, np.newaxis]).sum(axis=1)  # thresholds rise, and with them the counts
    dropped = counts[np.append(True, np.diff(counts) > 0)]
    kept = order[dropped[0] :]
    inverse = np.zeros(frames + 1, np.complex128)
    inverse[kept] = 1.0 / spectrum[kept]
    weight = inverse_weights(inverse)
    energy = np.zeros(frames + 1)
    energy[kept] = multiplicity(frames)[kept] / np.abs(weight[kept]) ** 2
    found = {name: device.zeros((curves.voxels,)) for name in ("height", "place", "level", "missed")}
    work = work_space(4 * frames + 2, curves.voxels, device)
    arguments = {
        "change": curves.planes.array, "mask": curves.mask, **tables(frames, device)._asdict(),
        "re": device.asarray(weight.real), "im": device.asarray(weight.imag), "energy": device.asarray(energy),
        "order": device.asarray(order, np.int32), "dropped": device.asarray(dropped, np.int32),
        "scratch": work.scratch, **found, "limit": limit,
    }  # fmt: skip
    for begin, end in work.ranges:
        launch(TRUNCATED_RESIDUE, device, **arguments, begin=begin, end=end)
    return perfusion_maps(curves, artery, found["height"], found["place"], found["missed"], params, device)


METHODS = (
    Method(
        stage="deconvolution", name="osvd", run=osvd, params=OsvdParams, inputs=INPUTS, outputs=OUTPUTS,
        summary="block-circulant SVD, threshold raised until the residue function is smooth",
        doi="10.1002/mrm.10522", bytes_per_voxel=120, bytes_per_volume=28,
    ),
    Method(
        stage="deconvolution", name="csvd", run=csvd, params=CsvdParams, inputs=INPUTS, outputs=OUTPUTS,
        summary="block-circulant SVD with one threshold, independent of delay",
        doi="10.1002/mrm.10522", bytes_per_voxel=120, bytes_per_volume=28,
    ),
)  # fmt: skip
