"""Running a registered method on a head and comparing results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.registry import all_methods
from tests.contract.heads import Head

METHODS = all_methods()
MASKED = tuple(m for m in METHODS if "mask" in m.required_inputs)

TOLERANCES = {"ppm": 1e-5, "rad": 1e-4}
"""Largest difference between devices by unit; other units: 1e-4 of the largest value."""
STEPS = {"quality": 1 / 255, "free_water": 1e-4}
"""Largest difference of results that are steps (rounding can move an edge's cost to the next) or fractions."""
DEVIATIONS = {"r2star_sd": "r2star", "sigma": "s0"}
"""Results that are what a fit leaves, by the result of whose rounding they may consist."""


def method_id(method: Method) -> str:
    return f"{method.stage}-{method.name}"


def short_params(method: Method) -> Params:
    """Default parameters; few iterations, since what is promised here does not wait for convergence."""
    return method.params(**({"iterations": 20} if "iterations" in method.params.model_fields else {}))


def run(method: Method, head: Head, device: Device, **changes: Any) -> dict[str, np.ndarray]:
    """Results of a method, in host memory; `changes` replace inputs."""
    inputs: Mapping[str, Any] = head.inputs(method) | changes
    results = method(inputs, head.grid, short_params(method), device=device)
    return {name: to_numpy(value) for name, value in results.items()}


def array_inputs(method: Method) -> tuple[str, ...]:
    """Names of the required inputs that are images."""
    return tuple(n for n in method.required_inputs if n not in {"echo_times", "b_values", "b_vectors", "grid"})


def assert_same_bytes(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> None:
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), (
            f"{name} differs by up to {np.abs(array.astype(float) - second[name].astype(float)).max()}"
        )


def difference(name: str, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference between two devices' results of this name.

    An eigenvector counts in proportion to the distance of its eigenvalue from the others: rounding turns it by
    the inverse of that. A voxel in which a value at the threshold is an outlier on one device only is left out.
    """
    apart = np.abs(found[name].astype(np.float64) - expected[name])
    if name in {"v1", "v2", "v3"}:
        values = np.stack([expected[f"l{k}"] for k in (1, 2, 3)], axis=-1).astype(np.float64)
        distance = np.abs(values - expected[f"l{name[1]}"][..., None])
        distance[..., int(name[1]) - 1] = np.inf
        apart *= (distance.min(axis=-1) / np.maximum(values.max(axis=-1), 1e-30))[..., None]
    if "outliers" in expected:
        apart = apart[(found["outliers"] == expected["outliers"]).all(axis=-1)]
    return float(apart.max())


def tolerance(name: str, unit: str | None, expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference that may be between two devices."""
    reference = DEVIATIONS.get(name, name)
    scale = float(np.abs(expected[reference if reference in expected else name]).max())
    return STEPS.get(name, TOLERANCES.get(unit or "", 1e-4 * max(scale, 1e-30)))
