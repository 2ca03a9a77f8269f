"""Running a registered method on a head and comparing results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bench.inputs.heads import Head, Image
from qsmengine.backend.device import Device, to_numpy
from qsmengine.stages.checks import TABLES
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.registry import all_methods, get_method

METHODS = all_methods()
FULL = tuple(
    replace(m, inputs=tuple(n.rstrip("?") for n in m.inputs)) for m in METHODS if m.inputs != m.required_inputs
)
"""Methods with optional inputs, as methods that require them all."""
EVERY = (*METHODS, *FULL)
MASKED = tuple(m for m in EVERY if "mask" in m.required_inputs)
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("inversion", "r2star"): {"lambda_csf": 0.1},
    ("reference", "labels"): {"region": "labels", "label_values": (1,)},
    ("diffusion", "sigma"): {"noise_floor": True},
}
"""Parameters without which a stage does not look at an optional input."""

FEW = {"gamma": 4}
"""Steps of methods of which one takes long."""

TOLERANCES = {"ppm": 1e-5, "rad": 1e-4}
"""Largest difference between devices by unit; other units: 1e-4 of the largest value."""
STEPS = {"quality": 1 / 255, "free_water": 1e-4, "status": 2e-3}
"""Largest difference of results that are steps (rounding can move an edge's cost to the next), fractions, or
the share of voxels whose fit ends in another way."""
DEVIATIONS = {"r2star_sd": "r2star", "sigma": "s0"}
"""Results that are what a fit leaves, by the result of whose rounding they may consist."""

AXES = {"v1": 0, "v2": 1, "v3": 2, "colour_fa": 0}
"""Results along an eigenvector, with its number."""
KURTOSES = frozenset({"mk", "ak", "rk", "mkt", "kurtosis_tensor"})


def _rate(time: Image) -> Image:
    """1 / `time` [1/s]; 0 where it is 0."""
    return np.divide(1.0, time, out=np.zeros(time.shape), where=time > 0)


FORMS: dict[str, Callable[[Image], Image]] = {"t2star": _rate, "sse": np.sqrt}
"""What is compared in place of the result itself."""


def given(method: Method) -> tuple[str, ...]:
    """Optional inputs of the registered method that this one requires."""
    registered = get_method(method.stage, method.name)
    return tuple(n for n in method.required_inputs if n not in registered.required_inputs)


def method_id(method: Method) -> str:
    return "-".join([method.stage, method.name, *given(method)])


def short_params(method: Method, iterations: int = 20) -> Params:
    """Default parameters; few iterations, since what is promised here does not wait for convergence.

    Where optional inputs are given, the parameters that make the method look at them.
    """
    settings: dict[str, Any] = {}
    iterations = min(iterations, FEW.get(method.name, iterations))
    for name, field in method.params.model_fields.items():
        if name == "iterations":
            settings[name] = iterations
        elif isinstance(field.annotation, type) and "iterations" in getattr(
            field.annotation, "model_fields", ()
        ):
            settings[name] = {"iterations": iterations}
    for name in given(method):
        settings |= SETTINGS.get((method.stage, name), {})
    return method.params(**settings)


def run(method: Method, head: Head, device: Device, **changes: Any) -> dict[str, Image]:
    """Results of a method, in host memory; `changes` replace inputs."""
    inputs: Mapping[str, Any] = head.inputs(method) | changes
    results = method(inputs, head.grid, short_params(method), device=device)
    return {name: to_numpy(value) for name, value in results.items()}


def array_inputs(method: Method) -> tuple[str, ...]:
    """Names of the required inputs that are images."""
    return tuple(n for n in method.required_inputs if n not in TABLES)


def assert_same_bytes(first: Mapping[str, Image], second: Mapping[str, Image]) -> None:
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), (
            f"{name} differs by up to {np.abs(array.astype(float) - second[name].astype(float)).max()}"
        )


def difference(name: str, found: Mapping[str, Image], expected: Mapping[str, Image]) -> float:
    """Largest difference between two devices' results of this name, as far as the data determine it.

    An eigenvector has no sign, a wrapped phase no turns; a time constant is compared by its rate, a sum of
    squares by its root. What
    rounding changes more than the fitted tensor counts in proportion, see :func:`_determined`. A voxel in
    which a value at a threshold is an outlier, or a fit ends, on one device only is left out; of a status the
    share of such voxels is the difference.
    """
    if name == "status":
        return float((found[name] != expected[name]).sum() / max(int((expected[name] > 0).sum()), 1))
    first, second = found[name].astype(np.float64), expected[name].astype(np.float64)
    if name in AXES:
        first = first * np.where((first * second).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    form = FORMS.get(name, np.asarray)
    apart = np.abs(form(first) - form(second))
    if name == "phase":
        apart = np.abs(np.angle(np.exp(1j * apart)))
    if "l1" in expected:
        apart = apart * _across(apart, _determined(name, expected))
    decided = np.ones(apart.shape[:3], bool)
    for decision in {"outliers", "status"} & expected.keys():
        agreed = found[decision] == expected[decision]
        decided &= agreed.reshape(*decided.shape, -1).all(axis=-1)
    return float(apart[decided].max())


def _determined(name: str, expected: Mapping[str, Image]) -> Image:
    """Inverse of the factor (x, y, z) by which a tensor's rounding grows in the result of this name.

    An eigenvector turns by the inverse of its eigenvalue's distance from the others. The mode is a quotient by
    the anisotropic part, a kurtosis by the square of the mean diffusivity, the anisotropy of the kurtosis by
    the kurtosis itself. The maps of tissue beside free water are quotients by the tissue's share.
    """
    values = np.stack([expected[f"l{k}"] for k in (1, 2, 3)], axis=-1).astype(np.float64)
    size = np.maximum(np.abs(values).max(axis=-1), 1e-30)
    factor = np.ones(size.shape)
    if name in AXES:
        own = AXES[name]
        distance = np.abs(values - values[..., own, None])
        distance[..., own] = np.inf
        factor = distance.min(axis=-1) / size
    elif name == "mo":
        factor = np.linalg.norm(values - values.mean(axis=-1, keepdims=True), axis=-1) / size
    elif name in KURTOSES:
        factor = (expected["md"] / expected["md"].max()).astype(np.float64) ** 2
    elif name == "kfa":
        factor = np.minimum(np.abs(expected["kurtosis_tensor"]).max(axis=-1), 1.0)
    if "free_water" in expected and name not in {"free_water", "s0", "sigma"}:
        factor = factor * (1.0 - expected["free_water"])
    return factor


def _across(image: Image, factor: Image) -> Image:
    """`factor` (x, y, z) with an axis for the components that `image` may have."""
    return factor[..., None] if image.ndim > factor.ndim else factor


def tolerance(name: str, unit: str | None, expected: Mapping[str, Image]) -> float:
    """Largest difference that may be between two devices."""
    reference = DEVIATIONS.get(name, name)
    reference = reference if reference in expected else name
    scale = float(np.abs(FORMS.get(reference, np.asarray)(expected[reference])).max())
    return STEPS.get(name, TOLERANCES.get(unit or "", 1e-4 * max(scale, 1e-30)))
