"""Bad input is refused by every method with an error that names it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.inputs.heads import head
from qsmengine.backend.device import Device
from qsmengine.errors import InputError, UsageError
from qsmengine.stages.checks import TABLES
from qsmengine.stages.method import Method
from tests.contract.running import FULL, MASKED, METHODS, array_inputs, given, method_id, run

REQUIRED = [(m, name) for m in METHODS for name in array_inputs(m)]
OPTIONAL = [(m, name) for m in FULL for name in given(m) if name not in TABLES]
CASES = REQUIRED + OPTIONAL
VALUES = [(m, n) for m, n in CASES if m in MASKED and not n.endswith("mask")]
TIMES = {"echo_times", "b_values", "b_vectors", "frame_times"}
SERIES = [(m, n) for m in METHODS for n in m.required_inputs if n in TIMES]
TIMED = [m for m in FULL if "echo_times" in given(m)]


def _ids(cases: list[tuple[Method, str]]) -> list[str]:
    return [f"{method_id(m)}-{name}" for m, name in cases]


@pytest.mark.parametrize(("method", "name"), CASES, ids=_ids(CASES))
def test_wrong_shape_is_named(method: Method, name: str, device: Device) -> None:
    case = head("even")
    with pytest.raises(InputError, match=name):
        run(method, case, device, **{name: case.values[name][:-1]})


@pytest.mark.parametrize(("method", "name"), CASES, ids=_ids(CASES))
def test_wrong_number_of_dimensions_is_named(method: Method, name: str, device: Device) -> None:
    case = head("even")
    with pytest.raises(InputError, match=name):
        run(method, case, device, **{name: case.values[name][:, :, 0]})


@pytest.mark.parametrize("method", MASKED, ids=method_id)
def test_empty_mask_is_named(method: Method, device: Device) -> None:
    case = head("even")
    with pytest.raises(InputError, match="mask"):
        run(method, case, device, mask=np.zeros_like(case.values["mask"]))


@pytest.mark.parametrize(("method", "name"), VALUES, ids=_ids(VALUES))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_no_number_inside_the_mask_is_named(
    method: Method, name: str, value: float, device: Device
) -> None:
    case = head("even")
    array = case.values[name].copy()
    array[tuple(n // 2 for n in case.grid.shape)] = value
    with pytest.raises(InputError, match=name):
        run(method, case, device, **{name: array})


@pytest.mark.parametrize(("method", "name"), SERIES, ids=_ids(SERIES))
def test_wrong_number_of_volumes_is_named(method: Method, name: str, device: Device) -> None:
    case = head("even")
    with pytest.raises(InputError, match=r"echo|volume|b-value|EchoTime|bval|bvec|frame"):
        run(method, case, device, **{name: case.values[name][:-1]})


@pytest.mark.parametrize("method", TIMED, ids=method_id)
@pytest.mark.parametrize("time", [-0.02, np.nan, 20.0])
def test_optional_echo_times_are_checked(method: Method, time: float, device: Device) -> None:
    case = head("even")
    with pytest.raises(InputError, match="EchoTime"):
        run(method, case, device, magnitude=case.values["magnitude"][..., :1], echo_times=(time,))


@pytest.mark.parametrize(("method", "name"), REQUIRED, ids=_ids(REQUIRED))
def test_missing_input_is_a_usage_error_that_names_it(method: Method, name: str, device: Device) -> None:
    case = head("even")
    with pytest.raises(UsageError, match=name):
        run(method, case, device, **{name: None})


@pytest.mark.parametrize("method", METHODS, ids=method_id)
def test_unknown_input_is_a_usage_error_that_names_it(method: Method, device: Device) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        run(method, head("even"), device, nonsense=head("even").values["mask"])
