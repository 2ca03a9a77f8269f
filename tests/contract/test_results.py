"""What every registered method promises about its results, on every device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.inputs.heads import GRIDS, Head, Image, head
from qsmengine.backend.device import Device, resolve_device
from qsmengine.stages.method import Method
from tests.contract.running import (
    EVERY,
    FULL,
    MASKED,
    METHODS,
    array_inputs,
    assert_same_bytes,
    difference,
    given,
    method_id,
    run,
    short_params,
    tolerance,
)

every_method = pytest.mark.parametrize("method", EVERY, ids=method_id)
masked_method = pytest.mark.parametrize("method", MASKED, ids=method_id)
DTYPES = {
    "mask": np.bool_, "reliable_mask": np.bool_, "filled_mask": np.bool_, "csf_mask": np.bool_,
    "outliers": np.uint8, "aif_mask": np.bool_,
}  # fmt: skip
"""Types of results that are not float32."""
LINEAR = tuple(m for m in EVERY if m.linear)
ON_GRIDS = [(m, g) for m in METHODS for g in GRIDS] + [(m, "oblique") for m in FULL]
ON_GPU = [(m, g) for m, g in ON_GRIDS if g in {"anisotropic", "oblique"}]
OPTIONAL = [(m, name) for m in FULL for name in given(m)]
STORED: tuple[Callable[[Image], Image], ...] = (
    np.asfortranarray,
    lambda a: a if a.dtype.kind in "bi" else a.astype(np.float64),
    lambda a: np.repeat(a[::-1], 2, axis=2)[::-1, :, ::2],
)
"""Ways to hold the same numbers."""


@pytest.mark.parametrize(("method", "grid"), ON_GRIDS, ids=lambda v: v if isinstance(v, str) else method_id(v))
def test_outputs_are_finite_images_of_the_grid(method: Method, grid: str, device: Device) -> None:
    case = head(grid)
    results = run(method, case, device)
    assert set(results) == set(method.outputs)
    for name, array in results.items():
        if np.ndim(array) < 3:
            assert np.isfinite(array).all(), name
            continue
        assert array.shape[:3] == case.grid.shape, name
        assert array.dtype == DTYPES.get(name, np.float32), name
        assert array.ndim > 3 or array.flags.c_contiguous, name
        assert np.isfinite(array).all(), name
        assert array[case.values["mask"]].any(), f"{name} is empty"


@every_method
def test_order_and_precision_of_inputs_do_not_matter(method: Method, device: Device) -> None:
    case = head("odd")
    expected = run(method, case, device)
    for stored in STORED:
        changed = {name: stored(case.values[name]) for name in array_inputs(method)}
        assert_same_bytes(expected, run(method, case, device, **changed))


@pytest.mark.parametrize(("method", "name"), OPTIONAL, ids=lambda v: v if isinstance(v, str) else method_id(v))
def test_every_optional_input_counts(method: Method, name: str, device: Device) -> None:
    case = head("even")
    values = case.values
    scaled = {"noise": 2 * values["noise"], "sigma": 2 * values["sigma"], "mask": values["reliable_mask"]}
    common = {}
    if name == "echo_times":  # optional where a single echo counts
        common = {"magnitude": values["magnitude"][..., :1], "echo_times": values["echo_times"][:1]}
        scaled[name] = (2 * values["echo_times"][0],)
    other = scaled.get(name, values[name][::-1])
    plain, changed = run(method, case, device, **common), run(method, case, device, **common | {name: other})
    assert max(_relative(changed[output], array) for output, array in plain.items()) > 1e-3


def _relative(found: Image, expected: Image) -> float:
    scale = np.abs(expected.astype(float)).max()
    return float(np.abs(found.astype(float) - expected).max() / max(scale, 1e-30))


@masked_method
@pytest.mark.parametrize("kind", ["other numbers", "not a number"])
def test_values_outside_the_mask_do_not_matter(method: Method, kind: str, device: Device) -> None:
    case = head("even")
    outside = ~case.values["mask"]
    rng = np.random.default_rng(8)
    changes = {}
    for name in set(array_inputs(method)) - {"mask"}:
        array = case.values[name].copy()
        other = rng.uniform(0.1, 1.0, array[outside].shape) * np.abs(array).max()
        array[outside] = np.nan if kind == "not a number" else other
        changes[name] = array
    assert_same_bytes(run(method, case, device), run(method, case, device, **changes))


@pytest.mark.parametrize("method", LINEAR, ids=method_id)
def test_linear_methods_are_linear_in_their_first_input(method: Method, device: Device) -> None:
    first = method.inputs[0]
    a, b = head("odd", 0), head("odd", 1)
    mixed = (2.0 * a.values[first] - 0.5 * b.values[first]).astype(np.float32)
    result = run(method, a, device, **{first: mixed})
    of_a, of_b = run(method, a, device), run(method, a, device, **{first: b.values[first]})
    for name, array in result.items():
        if array.dtype == np.float32:
            expected = 2.0 * of_a[name] - 0.5 * of_b[name]
            assert np.abs(array - expected).max() <= 2e-5 * np.abs(expected).max(), name


@every_method
def test_the_same_input_gives_the_same_bytes(method: Method, device: Device) -> None:
    assert_same_bytes(run(method, head("oblique"), device), run(method, head("oblique"), device))


@every_method
def test_inputs_are_not_changed(method: Method, device: Device) -> None:
    case = head("even")
    inputs = {
        n: device.asarray(v, v.dtype) if n in array_inputs(method) else v
        for n, v in case.inputs(method).items()
    }
    before = {n: v.copy() for n, v in inputs.items() if n in array_inputs(method)}
    method(inputs, case.grid, short_params(method), device=device)
    for name, array in before.items():
        assert bool((inputs[name] == array).all()), name


@every_method
def test_the_number_of_threads_does_not_change_the_bytes(method: Method) -> None:
    one, two = (run(method, head("anisotropic"), resolve_device("cpu", n)) for n in (1, 2))
    assert_same_bytes(one, two)


@pytest.mark.parametrize(("method", "grid"), ON_GPU, ids=lambda v: v if isinstance(v, str) else method_id(v))
def test_gpu_agrees_with_cpu(method: Method, grid: str, gpu: Device) -> None:
    case: Head = head(grid)
    on_cpu, on_gpu = run(method, case, resolve_device("cpu")), run(method, case, gpu)
    for name, array in on_cpu.items():
        if array.dtype == np.bool_ or name == "outliers":
            assert (array != on_gpu[name]).mean() <= 1e-3, name
            continue
        allowed = tolerance(name, method.outputs[name], on_cpu)
        assert difference(name, on_gpu, on_cpu) <= allowed, name
