"""Shared helpers of the Python interface: run one registered method on named arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from qsmengine.backend.device import Device, device_of, resolve_device
from qsmengine.data import Array
from qsmengine.data.checks import check_mask, check_phase
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.registry import get_method


def given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that are present."""
    return {name: value for name, value in inputs.items() if value is not None}


def run_method(
    stage: str,
    method: str,
    inputs: Mapping[str, Any],
    grid: Grid,
    params: Mapping[str, Any] | None,
    device: Device,
) -> dict[str, Array]:
    """Run a registered method; return its results by name.

    Default lengths follow the size of the object, as in :func:`qsmengine.stages.object_size.sized_grid`.
    """
    chosen = get_method(stage, method)
    inputs = {
        name: check_mask(name, value, grid) if name.endswith("mask") else value
        for name, value in inputs.items()
    }
    if "phase" in inputs:
        check_phase("phase", inputs["phase"])
    grid = sized_grid(grid, inputs, device=device)
    return chosen(inputs, grid, parse_params(chosen, params or {}), device=device)


def device_for(device: str | Device | None, array: Array) -> Device:
    """Return the requested device, else that of `array`; warn if "auto" skips a GPU."""
    if device is None:
        return device_of(array)
    chosen = resolve_device(device)
    if chosen.note:
        warnings.warn(chosen.note, RuntimeWarning, stacklevel=3)
    return chosen
