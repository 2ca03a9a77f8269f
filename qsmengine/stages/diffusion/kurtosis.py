"""Diffusion kurtosis by log-linear least squares, free or within physical limits.

log S = log S0 - b D(n) + b^2 V(n) / 6, with D(n) = sum D_ij n_i n_j and V(n) = MD^2 sum W_ijkl n_i n_j n_k
n_l: 22 unknowns, weighted with the squared signal predicted by the previous fit. The apparent kurtosis along n
is V(n) / D(n)^2; ``mk`` is its mean over all directions, ``rk`` over those perpendicular to the principal axis,
``ak`` its value along it, ``mkt`` the mean of W(n), ``kfa`` the anisotropy of W. Means over directions are
exact (one-dimensional integrals by a Gauss rule, accurate to rounding, see kernels/kurtosis.h), not averages
over samples of the sphere.

``dki_constrained`` finds the minimum among models with D(n) >= 0, V(n) >= 0 and V(n) <= 3 D(n) / b_max along
many directions: diffusivity and kurtosis are not negative, and the signal does not rise with b up to b_max.

Frames, signs and status are as in :mod:`qsmengine.stages.diffusion.tensor`.

References: Jensen et al. 2005, 10.1002/mrm.20508; Tabesh et al. 2011, 10.1002/mrm.22932 (constraints, MK, AK,
RK); Veraart et al. 2013, 10.1016/j.neuroimage.2013.05.028 (weights); Hansen et al. 2013, 10.1002/mrm.24743
(mkt); Glenn et al. 2015, 10.1002/nbm.3271 (kfa).
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.kurtosis import KURTOSIS_FIT, KURTOSIS_MAPS
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.records import record
from qsmengine.stages.diffusion.design import (
    RANK_TOLERANCE,
    Design,
    checked_table,
    design_matrix,
    distinct_directions,
    factored,
    shells,
)
from qsmengine.stages.diffusion.fitting import TENSOR_OUTPUTS, FitParams, pose, results
from qsmengine.stages.diffusion.orders import KURTOSIS_ORDER
from qsmengine.stages.diffusion.tensor import TensorResult
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field

UNKNOWNS = 22
NODES = 16
"""Points of the Gauss rule on the half interval; accurate to 1e-7 for eigenvalue ratios of 500."""
STEEPEST = 3.0
"""Largest V(n) b_max / D(n) at which the signal does not increase with b."""


class KurtosisParams(FitParams):
    """Parameters of the kurtosis fits."""

    reweightings: int = Field(
        1, ge=0, le=20, description="fits with weights predicted by the previous fit; 0: unweighted (OLS)"
    )
    min_signal: float = Field(
        1e-3, gt=0, lt=1, description="signals below this fraction of the voxel's maximum are raised to it"
    )
    min_kurtosis: float = Field(
        -3.0 / 7.0, le=0, description="lower bound of mk, ak, rk and mkt (-3/7: water in a sphere)"
    )
    max_kurtosis: float = Field(10.0, gt=0, description="upper bound of mk, ak, rk and mkt")


class ConstrainedKurtosisParams(KurtosisParams):
    """Parameters of the constrained kurtosis fit."""

    directions: int = Field(
        60, ge=15, le=500, description="number of directions along which each of the three limits must hold"
    )


@record
class KurtosisResult(TensorResult):
    """Maps of the tensor and of the kurtosis.

    ``kurtosis_tensor`` W (x, y, z, 15) [1] in KURTOSIS_ORDER; ``mk``, ``ak``, ``rk``, ``mkt`` mean,
    axial, radial kurtosis and mean of W [1]; ``kfa`` kurtosis fractional anisotropy [1].
    """

    kurtosis_tensor: Array
    mk: Array
    ak: Array
    rk: Array
    kfa: Array
    mkt: Array


def dki(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: KurtosisParams,
    *,
    device: Device,
) -> KurtosisResult:
    """Fit tensor and kurtosis in every voxel by weighted log-linear least squares.

    Parameters
    ----------
    signal, mask, b_values, b_vectors, grid
        As in :func:`qsmengine.stages.diffusion.tensor.ols`; two shells or more in addition to b = 0.

    Raises
    ------
    InputError
        As `ols` does, and for a table that cannot determine the 22 unknowns.
    """
    return _fit(signal, mask, b_values, b_vectors, grid, params, device, directions=0)


def dki_constrained(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: ConstrainedKurtosisParams,
    *,
    device: Device,
) -> KurtosisResult:
    """Fit tensor and kurtosis in every voxel within physical limits; see `dki`."""
    return _fit(signal, mask, b_values, b_vectors, grid, params, device, directions=params.directions)


def kurtosis_design(b_values: Array, b_vectors: Array, b0_threshold: float) -> Design:
    """Return the coefficients for the unknowns log S0, b_max D (6), b_max^2 V (15, order of KURTOSIS_ORDER)."""
    b_values, b_vectors = checked_table(b_values, b_vectors, b0_threshold)
    b_values = np.where(b_values <= b0_threshold, 0.0, b_values)
    b_max = float(b_values.max())
    scaled = b_values / (b_max or 1.0)
    quartic = scaled[:, None] ** 2 / 6.0 * quartic_terms(b_vectors)
    matrix = np.concatenate([design_matrix(scaled, b_vectors), quartic], axis=1)
    lengths = np.linalg.norm(matrix, axis=0)
    singular = np.linalg.svd(matrix / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
    rank = int((singular > RANK_TOLERANCE * singular[0]).sum())
    if rank < UNKNOWNS:
        raise InputError(
            f"the gradient table has rank {rank}, kurtosis needs {UNKNOWNS}: {len(b_values)} volumes, "
            f"{len(shells(b_values))} shells with b > 0 (two are needed), "
            f"{distinct_directions(b_values, b_vectors)} different directions (15 are needed)",
            field="bval/bvec",
        )
    return factored(matrix, b_max)


def quartic_terms(directions: FloatArray) -> FloatArray:
    """Return the factors (direction, 15) of the components of W along unit vectors (direction, 3)."""
    powers = np.array([[name.count(axis) for axis in "xyz"] for name in KURTOSIS_ORDER])
    times = np.array([24 / np.prod([(1, 1, 2, 6, 24)[n] for n in row]) for row in powers])
    return np.asarray(times * np.prod(directions[:, None, :] ** powers, axis=2), dtype=np.float64)


def limits(directions: int) -> FloatArray:
    """Return rows g (3 directions, 22): g beta >= 0 for D(n), V(n), 3 D(n) - V(n) >= 0; b_max is 1."""
    i = np.arange(directions) + 0.5
    z, azimuth = 1.0 - i / directions, np.pi * (1.0 + 5.0**0.5) * i
    radius = np.sqrt(1.0 - z * z)
    points = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    diffusion = -design_matrix(np.ones(directions), points)
    diffusion[:, 0] = 0.0
    kurtosis = np.concatenate([np.zeros((directions, 7)), quartic_terms(points)], axis=1)
    diffusion = np.concatenate([diffusion, np.zeros((directions, 15))], axis=1)
    return np.concatenate([diffusion, kurtosis, STEEPEST * diffusion - kurtosis])


def _fit(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: KurtosisParams,
    device: Device,
    *,
    directions: int,
) -> KurtosisResult:
    problem = pose(
        signal, mask, b_values, b_vectors, grid, params.b0_threshold, device,
        make_design=kurtosis_design, n_maps=KURTOSIS_MAPS,
    )  # fmt: skip
    cone = limits(directions) @ problem.design.up.astype(np.float64)
    cone /= np.linalg.norm(cone, axis=1, keepdims=True)
    nodes, weights = (values[NODES:] for values in np.polynomial.legendre.leggauss(2 * NODES))
    rule = np.stack([nodes**2, weights * nodes**2 * (1 - nodes**2)], axis=1)
    launch(
        KURTOSIS_FIT,
        device,
        **problem.arguments(device),
        cone=device.asarray(cone, np.float32),
        nodes=device.asarray(rule, np.float32),
        min_signal=params.min_signal,
        lowest=params.min_kurtosis,
        highest=params.max_kurtosis,
        reweightings=params.reweightings,
    )
    image, maps = problem.planes.unflatten, problem.maps
    found = {name: image(maps[plane]) for plane, name in enumerate(("mk", "ak", "rk", "kfa", "mkt"), start=41)}
    return KurtosisResult(**results(problem), **found, kurtosis_tensor=image(maps[26:41]))


_OUTPUTS = {
    **TENSOR_OUTPUTS, "sse": "1", "kurtosis_tensor": "1", "mk": "1", "ak": "1", "rk": "1", "kfa": "1",
    "mkt": "1",
}  # fmt: skip
_INPUTS = ("signal", "mask", "b_values", "b_vectors")

METHODS = (
    Method(
        stage="diffusion", name="dki", run=dki, params=KurtosisParams, inputs=_INPUTS, outputs=_OUTPUTS,
        summary="diffusion kurtosis by weighted least squares, with the maps of its tensor",
        doi="10.1002/mrm.20508", bytes_per_voxel=84, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="dki_constrained", run=dki_constrained, params=ConstrainedKurtosisParams,
        inputs=_INPUTS, outputs=_OUTPUTS,
        summary="diffusion kurtosis by weighted least squares within physical limits",
        doi="10.1002/mrm.22932", bytes_per_voxel=84, bytes_per_volume=4,
    ),
)  # fmt: skip
