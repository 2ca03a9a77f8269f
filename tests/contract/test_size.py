"""Lengths follow the size of the object: the same head at another scale gives the same maps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bench.inputs.heads import Head, head
from qsmengine.backend.device import Device, resolve_device, to_numpy
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from tests.contract.running import FULL, METHODS, array_inputs, method_id, short_params

FIELD_STRENGTH = 9.4
STAGES = {
    "phase-offset", "unwrap", "mask", "reliability", "two-pass", "background", "inversion", "combination",
    "single-step", "reference", "uncertainty", "swi",
}  # fmt: skip
SCALED = [(m, scale) for m in METHODS if m.stage in STAGES for scale in (0.1, 0.3)]
SCALED += [(m, 0.1) for m in FULL if m.stage in STAGES]
LENGTHS = [(m, n) for m in METHODS for n in m.params.model_fields if m.params().length_power(n)]
TINY = list({method_id(m): m for m, _ in LENGTHS if m.stage != "mask"}.values())
MM = ("[mm", "ppm mm", "mm^", " mm ")


def _shrunk(grid: Grid, scale: float, **changes: object) -> Grid:
    affine = np.array(grid.affine)
    affine[:3] *= scale
    return grid.replace(affine=affine, **changes)


@pytest.mark.parametrize(
    ("method", "scale"), SCALED, ids=lambda v: str(v) if isinstance(v, float) else method_id(v)
)
def test_a_head_of_another_size_and_field_strength_gives_the_same_maps(method: Method, scale: float) -> None:
    device = resolve_device("cpu", 1)
    case = head("even")
    small = _shrunk(case.grid, scale, length_scale=scale, field_strength=FIELD_STRENGTH)
    inputs = case.inputs(method)
    other = dict(inputs)
    if "echo_times" in inputs:
        ratio = case.grid.required_field_strength / FIELD_STRENGTH
        other["echo_times"] = tuple(time * ratio for time in inputs["echo_times"])
    expected = method(inputs, case.grid, short_params(method), device=device)
    found = method(other, small, short_params(method), device=device)
    for name, value in expected.items():
        reference = np.asarray(to_numpy(value), np.float64)
        error = np.linalg.norm(np.asarray(to_numpy(found[name]), np.float64) - reference)
        limit = 0.0 if method.outputs[name] == "1" and reference.dtype == bool else 1e-2
        assert error <= limit * np.linalg.norm(reference), name


@pytest.mark.parametrize(("method", "name"), LENGTHS, ids=lambda value: getattr(value, "name", value))
def test_a_length_set_by_name_is_in_mm_and_a_default_is_an_adults(method: Method, name: str) -> None:
    defaults = method.params()
    alias = method.params.model_fields[name].alias or name
    named = method.params(**{alias: getattr(defaults, name)})
    power, scale = defaults.length_power(name), 0.8
    assert defaults.counted_in(scale) == defaults
    counted = named.counted_in(scale)
    np.testing.assert_allclose(getattr(counted, name), np.divide(getattr(defaults, name), scale**power))
    others = set(method.params.model_fields) - {name}
    assert all(getattr(counted, other) == getattr(defaults, other) for other in others)


@pytest.mark.parametrize("method", METHODS, ids=method_id)
def test_every_parameter_with_mm_in_its_description_has_a_power_of_the_length(method: Method) -> None:
    params = method.params()
    for name, field in method.params.model_fields.items():
        text = str(field.description)
        if any(unit in text for unit in MM) and "mm^2/s" not in text and "s/mm^2" not in text:
            assert params.length_power(name) > 0, name


def test_a_named_length_that_is_out_of_bounds_for_a_small_object_is_refused_with_its_name() -> None:
    method = next(m for m in METHODS if m.name == "vsharp")
    with pytest.raises(UsageError, match=r"max_radius=12: the object has 0\.1 times .* is equivalent to 120"):
        method.params(max_radius=12.0).counted_in(0.1)


@pytest.mark.parametrize("method", TINY, ids=method_id)
def test_memory_stays_within_the_declared_bytes_where_voxels_are_tiny(method: Method) -> None:
    """Lengths of an adult on a grid of 0.1 mm: the spheres and windows are larger than the image.

    A run before it, on a small head, imports the libraries, which are no memory of a method.
    """
    device = resolve_device("cpu", 1)
    case = head("medium")
    _run(method, device, head("even"), 1.0)
    tracemalloc.start()
    try:
        _run(method, device, case, 0.1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    images = [case.values[name] for name in array_inputs(method)]
    volumes = max([image.shape[3] for image in images if image.ndim == 4], default=0)
    declared = method.working_bytes(_shrunk(case.grid, 0.1), short_params(method), volumes)
    results = 4 * case.grid.size * len(method.outputs) * max(1, volumes)
    assert peak <= declared + results + sum(image.nbytes for image in images)


def _run(method: Method, device: Device, case: Head, scale: float) -> None:
    """Few steps on a head: lengths are counted in voxels before the first."""
    try:
        method(case.inputs(method), _shrunk(case.grid, scale), short_params(method, 4), device=device)
    except InputError as error:
        assert "too thin" in str(error) or "no cerebrospinal fluid" in str(error)  # noqa: PT017
