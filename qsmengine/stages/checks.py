"""Checks of a method's inputs, the same for every method, before it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid

SERIES = {"phase": "echo_times", "magnitude": "echo_times", "unwrapped": "echo_times", "signal": "b_values"}
"""Inputs with a fourth axis, and the input that has one entry for each of its volumes."""

COMPONENTS = frozenset({"components", "gradient_deviation"})
"""Inputs with a fourth axis of their own."""

TABLES = frozenset({"echo_times", "b_values", "b_vectors"})
"""Inputs that are no images."""


def check_inputs(inputs: Mapping[str, Any], grid: Grid) -> None:
    """Check the images and tables that a method was given against each other and the grid.

    Raises
    ------
    InputError
        Naming the input, for an image that does not lie on the grid, a series whose number of volumes
        is not that of its table, an empty mask, and values inside the mask that are no finite numbers.
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
    if mask is not None and not bool((mask != 0).any()):
        raise InputError("the mask is empty", field="mask")
    for name, array in images.items():
        _check_finite(name, array, mask)


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


def _some_sum(array: Array) -> float:
    """A sum over all values that is finite only if they are: of squares, where one fast pass gives it."""
    if array.flags.c_contiguous or array.flags.f_contiguous:
        flat = array.ravel(order="K")
        return float(flat.dot(flat))
    return float(array.sum(dtype=np.float64))


def _check_finite(name: str, array: Array, mask: Array | None) -> None:
    # a finite sum has finite terms: the common case costs one pass and no memory
    with np.errstate(all="ignore"):
        if array.dtype.kind != "f" or math.isfinite(_some_sum(array)):
            return
    bad = ~array_module(array).isfinite(array)
    if bad.ndim == 4:
        bad = bad.any(axis=3)
    if mask is not None:
        bad &= array_module(array).asarray(mask) != 0
    count = int(bad.sum())
    if count:
        where = "" if mask is None else " inside the mask"
        raise InputError(f"{name} is not a finite number in {count} voxels{where}", field=name)
