"""How far the results of one kernel may differ between builds that fuse multiply-adds differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.inputs.kernels import outputs
from qsmengine.backend.kernel import Arg, Kernel


@dataclass(frozen=True)
class Tolerance:
    """Error in parts of the largest value of a map, and the share of voxels that may exceed it."""

    error: float
    share: float = 0.0


USUAL = Tolerance(1e-5)
LARGER = {
    # a step more or less
    "nonlinear_decay": Tolerance(3e-4),
    "spoiled_fit": Tolerance(1.2e-3),
    # voxels on the edge of a constraint; kurtoses are quotients by the square of a small diffusivity
    "kurtosis_fit": Tolerance(1e-3, 0.01),
    # elements of the tensor that are 0 but for noise; the kind of fit of a voxel
    "free_water_fit": Tolerance(5e-3, 0.01),
    # a step more or less; variances where a parameter is barely determined
    "transit_fit": Tolerance(3e-3, 0.005),
    "gamma_transit": Tolerance(1e-2, 0.01),
    "spin_echo_fit": Tolerance(3e-3),
    # sums of squares that are small differences
    "balanced_fit": Tolerance(1e-3),
}
"""Kernel -> tolerance above the usual one; `tests/emulator/test_fused.py` measures what is needed."""


def tolerance(kernel: Kernel) -> Tolerance:
    return LARGER.get(kernel.name, USUAL)


def largest_error(
    kernel: Kernel, expected: Mapping[str, Any], found: Mapping[str, Any], share: float = 0.0
) -> float:
    """Largest error of an output in parts of the largest value of its map, but for `share` of the voxels.

    Infinite where only one of them is NaN.
    """
    args = {a.name: a for a in kernel.arguments}
    results = outputs(kernel, dict(found))
    return max(
        _error(args[name], a, results[name], share) for name, a in outputs(kernel, dict(expected)).items()
    )


def assert_agree(kernel: Kernel, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    allowed = tolerance(kernel)
    error = largest_error(kernel, expected, found, allowed.share)
    assert error <= allowed.error, f"{kernel.name}: {error} of the largest value"


def _error(arg: Arg, expected: np.ndarray, found: np.ndarray, share: float) -> float:
    """Arrays [maps n] are compared map by map: their units differ."""
    if np.any(np.isnan(expected) != np.isnan(found)):
        return np.inf
    rows = len(expected) if len(arg.dims) == 2 and arg.dims[1] == "n" else 1
    x = np.nan_to_num(expected).reshape(rows, -1)
    y = np.nan_to_num(found).reshape(rows, -1)
    scale = np.abs(x).max(axis=1, keepdims=True)
    errors = np.abs(x.astype(np.complex128) - y)
    relative = errors / np.where(errors > 0.0, scale, 1.0)
    return float(np.quantile(relative, 1.0 - share, axis=1, method="lower").max())
