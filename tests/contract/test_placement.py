"""Each input of a method may lie in host memory or on the device."""

import numpy as np
import pytest

from bench.inputs.heads import Head, head
from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.method import Method
from tests.contract.running import METHODS, assert_same_bytes, method_id


def every_input(method: Method, case: Head) -> dict[str, np.ndarray]:
    """Required and optional inputs that the head has, or that can be made of it."""
    shape, mask = case.grid.shape, case.values["mask"]
    made = {
        "weight": np.where(mask, 1 + np.abs(case.values["chi"]), 0).astype(np.float32),
        "labels": mask.astype(np.int32),
        "gradient_deviation": np.full((*shape, 9), 1e-3, np.float32),
        "sigma": np.full(shape, 5.0, np.float32),
    }
    names = [name.rstrip("?") for name in method.inputs]
    return {name: {**made, **case.values}[name] for name in names if name in {**made, **case.values}}


def few_iterations(method: Method):
    return method.params(**({"iterations": 2} if "iterations" in method.params.model_fields else {}))


def placed(inputs, device: Device, chosen) -> dict[str, object]:
    """Inputs of which those chosen lie on the device."""
    return {
        name: device.asarray(a, a.dtype) if getattr(a, "ndim", 0) >= 3 and chosen(index) else a
        for index, (name, a) in enumerate(inputs.items())
    }


@pytest.mark.parametrize("method", METHODS, ids=method_id)
def test_any_input_may_lie_anywhere(method: Method, gpu: Device) -> None:
    case = head("even")
    inputs = every_input(method, case)
    results = []
    for chosen in (lambda _: False, lambda k: k % 2 == 0, lambda k: k % 2 == 1):
        found = method(placed(inputs, gpu, chosen), case.grid, few_iterations(method), device=gpu)
        results.append({name: to_numpy(value) for name, value in found.items()})
    for other in results[1:]:
        assert_same_bytes(results[0], other)


@pytest.mark.parametrize(
    "method", [m for m in METHODS if m.stage in {"background", "inversion"}], ids=method_id
)
def test_bad_values_are_named_wherever_they_lie(method: Method, gpu: Device) -> None:
    case = head("even")
    inputs = every_input(method, case)
    first = next(iter(inputs))
    inputs[first] = inputs[first].copy()
    inputs[first][case.values["mask"]] = np.nan
    for chosen in (lambda _: False, lambda k: k % 2 == 0, lambda k: k % 2 == 1):
        with pytest.raises(InputError, match=f"{first} is not a finite number"):
            method(placed(inputs, gpu, chosen), case.grid, few_iterations(method), device=gpu)
