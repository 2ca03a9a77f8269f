"""Numbers that no computation can represent are refused for every parameter of every method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.registry import all_methods

ABSURD = (1e300, -1e300, 1e-300, float("nan"), float("inf"))


def numbers(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the path of every parameter that takes a float, and whether it is a tuple."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if inner is not None:
            yield from numbers(inner, here)
        elif float in kinds:
            yield here, False
        elif any(float in get_args(kind) for kind in kinds):
            yield here, True


CASES = [(method, path, several) for method in all_methods() for path, several in numbers(method.params)]


def test_every_method_with_numbers_is_walked():
    assert len({method.name for method, _, _ in CASES}) > 25
    assert len(CASES) > 120


@pytest.mark.parametrize("value", ABSURD)
def test_numbers_beyond_single_precision_are_refused_by_name(value):
    for method, path, several in CASES:
        tree: Any = (value, value) if several else value
        for name in reversed(path):
            tree = {name: tree}
        with pytest.raises(ValidationError) as caught:
            method.params.model_validate(tree)
        assert any(error["loc"][: len(path)] == path for error in caught.value.errors()), (method.name, path)


@pytest.mark.parametrize("value", [True, False])
def test_truth_values_are_no_numbers(value):
    for method, path, _ in CASES:
        tree: Any = value
        for name in reversed(path):
            tree = {name: tree}
        with pytest.raises(ValidationError, match="is not a value of this parameter"):
            method.params.model_validate(tree)


def test_the_message_names_the_parameter_and_its_bounds():
    with pytest.raises(
        UsageError, match=r"mask\.bias_sigma: size should be 0 or between 1e-12 and 1e\+12, got"
    ):
        load_config(settings=["mask.bias_sigma=1e-300"])
