"""Deconvolution with a Tikhonov filter in the frequency domain.

Curves are padded with zeros to L = 2N samples. With the spectra A_k of the AIF and C_k of a curve, and the
angular frequency w_k [rad/s],

    f_k = conj(A_k) C_k / (|A_k|^2 + lambda^2 max|A|^2 w_k^(2p)) / dt,

the minimum of |AIF * f - C|^2 + lambda^2 max|A|^2 |d^p f / dt^p|^2. lambda counts in units of max |A|, so the
result does not depend on the unit of the curves; for p > 0 it contains [s^p]. `fixed` takes one lambda; for
each voxel, `gcv` takes the minimum of the generalised cross-validation |C - AIF * f|^2 / (trace of the
residual's filter)^2, and `lcurve` the point of largest curvature of (log |C - AIF * f|^2, log |d^p f|^2),
both on a geometric grid of lambda.

Reference: Fieselmann et al. 2011, 10.1155/2011/467563; Hansen 1992, 10.1137/1034115 (L-curve).
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.deconvolution import TIKHONOV_RESIDUE
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, model_validator
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.maps import INPUTS, OUTPUTS, MapParams, Maps, checked_aif, perfusion_maps
from qsmengine.stages.perfusion.transform import (
    ComplexArray,
    FloatArray,
    inverse_weights,
    multiplicity,
    padded_spectrum,
    tables,
    work_space,
)


class TikhonovParams(MapParams):
    """Parameters of the Tikhonov filter."""

    choice: Literal["fixed", "gcv", "lcurve"] = Field("gcv", description="how lambda is chosen")
    lam: float = Field(0.1, gt=0, le=100, alias="lambda", description="lambda if it is fixed [max |A| s^order]")
    order: int = Field(0, ge=0, le=2, description="p: order of the derivative whose size is limited")
    smallest: float = Field(0.01, gt=0, le=10, description="smallest lambda tried [max |A| s^order]")
    largest: float = Field(1.0, gt=0, le=100, description="largest lambda tried [max |A| s^order]")
    settings: int = Field(40, ge=3, le=500, description="number of values of lambda tried")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.smallest >= self.largest:
            raise ValueError(f"smallest ({self.smallest:g}) must be below largest ({self.largest:g})")
        return self


def tikhonov(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: TikhonovParams,
    *,
    device: Device,
) -> Maps:
    """Deconvolve `dr2star` (x, y, z, frame) [1/s] by `aif` (frame,) [1/s] inside `mask`.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, frame times that are not even, an AIF without area.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    artery, frames = checked_aif(aif, curves.frames), curves.frames
    spectrum = padded_spectrum(artery) * curves.step
    strength = (
        np.array([params.lam])
        if params.choice == "fixed"
        else np.geomspace(params.smallest, params.largest, params.settings)
    )
    frequency = np.pi * np.arange(frames + 1, dtype=np.float64) / (frames * curves.step)
    passed, inverse = filters(spectrum, strength, np.asarray(frequency**params.order))
    counts = multiplicity(frames)
    lost = (1.0 - passed) @ counts
    weight = inverse_weights(inverse)
    found = {name: device.zeros((curves.voxels,)) for name in ("height", "place", "setting", "missed")}
    work = work_space(4 * frames + 2, curves.voxels, device)
    arguments = {
        "change": curves.planes.array, "mask": curves.mask, **tables(frames, device)._asdict(),
        "re": device.asarray(weight.real), "im": device.asarray(weight.imag),
        "away": device.asarray(counts * (1.0 - passed) ** 2),
        "grown": device.asarray(counts * np.abs(inverse) ** 2 * frequency ** (2 * params.order)),
        "penalty": device.asarray((lost.max() / lost) ** 2), "scratch": work.scratch, **found,
        "corner": int(params.choice == "lcurve"),
    }  # fmt: skip
    for begin, end in work.ranges:
        launch(TIKHONOV_RESIDUE, device, **arguments, begin=begin, end=end)
    return perfusion_maps(curves, artery, found["height"], found["place"], found["missed"], params, device)


def filters(spectrum: ComplexArray, strength: FloatArray, slope: FloatArray) -> tuple[FloatArray, ComplexArray]:
    """Return the transfer factors and the inverse filters (setting, bin) for values of lambda.

    `slope` (bin,) is w^p.
    """
    power = np.abs(spectrum) ** 2
    penalty = (strength[:, np.newaxis] * slope) ** 2 * power.max()
    total = power + penalty
    safe = np.where(total > 0, total, 1.0)
    return power / safe, np.asarray(np.conj(spectrum) / safe, dtype=np.complex128)


METHODS = (
    Method(
        stage="deconvolution", name="tikhonov", run=tikhonov, params=TikhonovParams, inputs=INPUTS,
        outputs=OUTPUTS, summary="Tikhonov filter; lambda fixed, by cross-validation or by the L-curve",
        doi="10.1155/2011/467563", bytes_per_voxel=120, bytes_per_volume=28,
    ),
)  # fmt: skip
