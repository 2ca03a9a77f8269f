"""Checks of inputs and results, applied to every method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import Array, check_not_empty
from qsmengine.errors import InputError, NumericalError
from qsmengine.grid import Grid
from qsmengine.norm import euclidean_norm

SERIES = {
    "phase": "echo_times", "magnitude": "echo_times", "unwrapped": "echo_times", "signal": "b_values",
    "dynamic": "frame_times", "second_dynamic": "frame_times", "dr2star": "frame_times",
    "spoiled": "flip_angles", "spin_echoes": "spin_echo_times",
    "balanced": "balanced_increments", "cycled": "cycled_increments", "cycled_phase": "cycled_increments",
}  # fmt: skip
"""Series (inputs with a fourth axis), each with the table that has one entry per volume."""

COMPONENTS = frozenset({"components", "gradient_deviation"})
"""Inputs with a fourth axis that no table describes."""

LARGEST = 1e15
"""Largest absolute value of an input: sums of squares over a volume stay within float32."""

TABLES = frozenset({
    "echo_times", "b_values", "b_vectors", "frame_times", "echo_time", "second_echo_time", "arrival", "aif",
    "flip_angles", "repetition_times", "spoiled_times", "spin_echo_times",
    "balanced_angles", "balanced_increments", "balanced_times", "balanced_echoes",
    "cycled_increments", "cycled_times",
})  # fmt: skip
"""Inputs that are not images."""


def check_inputs(inputs: Mapping[str, Any], grid: Grid) -> None:
    """Check a method's images and tables against each other and the grid.

    Raises
    ------
    InputError
        Naming the input, for an image that does not lie on the grid, a series whose number of volumes
        differs from that of its table, an empty mask, complex images, values inside the mask that are not
        finite or exceed 1e15 in magnitude, and weights that are negative or 0 everywhere.
    """
    images = {name: a for name, a in inputs.items() if a is not None and name not in TABLES}
    for name, array in images.items():
        _check_shape(name, array, grid, inputs)
    if inputs.get("b_vectors") is not None and len(inputs["b_vectors"]) != len(inputs["b_values"]):
        raise InputError(
            f"{len(inputs['b_vectors'])} gradient directions, {len(inputs['b_values'])} b-values",
            field="b_vectors",
        )
    mask = images.pop("mask", None)
    if mask is not None:
        check_not_empty(mask)
    for name, array in images.items():
        _check_values(name, array, mask)
    if "weight" in images:
        _check_weight(images["weight"], mask)


def _check_shape(name: str, array: Array, grid: Grid, inputs: Mapping[str, Any]) -> None:
    table = SERIES.get(name)
    ndim = 4 if table is not None or name in COMPONENTS else 3
    if name == "sigma":
        ndim = max(3, min(array.ndim, 4))
    if array.ndim != ndim or tuple(array.shape[:3]) != grid.shape:
        raise InputError(
            f"{name} has shape {tuple(array.shape)}, its grid has {grid.shape}"
            f"{'' if table is None else ' and one volume for each of ' + table}",
            field=name,
        )
    if table is not None and inputs.get(table) is not None and array.shape[3] != len(inputs[table]):
        raise InputError(f"{name} has {array.shape[3]} volumes, {table} has {len(inputs[table])}", field=table)


def check_results(results: Mapping[str, Any], method: str) -> None:
    """Check that every image a method returns is finite.

    Raises
    ------
    NumericalError
        Naming the method, the image and the number of affected voxels.
    """
    for name, array in results.items():
        if getattr(array, "ndim", 0) >= 3 and array.dtype.kind in "fc" and not _bound(array) < math.inf:
            count = int((~array_module(array).isfinite(array)).sum())
            if count:
                raise NumericalError(
                    f"{method}: {name} is NaN or infinite in {count} voxels although its inputs are finite; "
                    "a parameter is probably extreme"
                )


def _check_values(name: str, array: Array, mask: Array | None) -> None:
    """Refuse complex images, and values inside the mask that are not finite or too large for float32 sums."""
    if array.dtype.kind == "c":
        raise InputError(f"{name} is complex; a real image is needed", field=name)
    if array.dtype.kind == "b" or _bound(array) <= LARGEST:
        return
    xp = array_module(array)
    with np.errstate(all="ignore"):
        bad = ~xp.isfinite(array)
        large = xp.abs(array) > LARGEST
    for wrong, text in ((bad, "is not a finite number"), (large & ~bad, f"exceeds {LARGEST:g} (rescale it)")):
        inside = wrong.any(axis=3) if wrong.ndim == 4 else wrong
        count = int((inside if mask is None else inside & _like(mask, array)).sum())
        if count:
            where = "" if mask is None else " inside the mask"
            raise InputError(f"{name} {text} in {count} voxels{where}", field=name)


def _check_weight(weight: Array, mask: Array | None) -> None:
    """Refuse weights that are negative, or 0 everywhere, inside the mask."""
    inside = weight if mask is None else weight[_like(mask, weight)]
    if not float(inside.max()) > 0:
        raise InputError(
            "the weight is 0 or negative everywhere inside the mask: no data would be used", field="weight"
        )
    if float(inside.min()) < 0:
        raise InputError(
            f"weights must not be negative; the smallest is {float(inside.min()):g}", field="weight"
        )


def _like(mask: Array, array: Array) -> Array:
    """Return `mask` != 0 in the memory of `array`."""
    there: Array = (to_numpy(mask) if isinstance(array, np.ndarray) else array_module(array).asarray(mask)) != 0
    return there


def _bound(array: Array) -> float:
    """Return a bound on the absolute value of all elements; NaN or infinite if an element may be.

    For an array without gaps this is its norm, which takes one fast pass.
    """
    slowest_first = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f" and array.transpose(slowest_first).flags.c_contiguous:
            return euclidean_norm(array)
        return max(float(array.max()), -float(array.min()))
