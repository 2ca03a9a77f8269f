"""Each input of a method may lie in host memory or on the device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.inputs.heads import head
from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.method import Method
from tests.contract.running import FULL, METHODS, assert_same_bytes, method_id, short_params

FULLEST = (*(m for m in METHODS if m.inputs == m.required_inputs), *FULL)
"""Every method once, with all its inputs."""


def placed(inputs: dict[str, Any], device: Device, chosen: Callable[[int], bool]) -> dict[str, Any]:
    """Inputs of which those chosen lie on the device."""
    return {
        name: device.asarray(a, a.dtype) if getattr(a, "ndim", 0) >= 3 and chosen(index) else a
        for index, (name, a) in enumerate(inputs.items())
    }


@pytest.mark.parametrize("method", FULLEST, ids=method_id)
def test_any_input_may_lie_anywhere(method: Method, gpu: Device) -> None:
    case = head("even")
    inputs = case.inputs(method)
    results = []
    for chosen in (lambda _: False, lambda k: k % 2 == 0, lambda k: k % 2 == 1):
        found = method(placed(inputs, gpu, chosen), case.grid, short_params(method, 2), device=gpu)
        results.append({name: to_numpy(value) for name, value in found.items()})
    for other in results[1:]:
        assert_same_bytes(results[0], other)


@pytest.mark.parametrize(
    "method", [m for m in FULLEST if m.stage in {"background", "inversion"}], ids=method_id
)
def test_bad_values_are_named_wherever_they_lie(method: Method, gpu: Device) -> None:
    case = head("even")
    inputs = case.inputs(method)
    first = next(iter(inputs))
    inputs[first] = inputs[first].copy()
    inputs[first][case.values["mask"]] = np.nan
    for chosen in (lambda _: False, lambda k: k % 2 == 0, lambda k: k % 2 == 1):
        with pytest.raises(InputError, match=f"{first} is not a finite number"):
            method(placed(inputs, gpu, chosen), case.grid, short_params(method, 2), device=gpu)
