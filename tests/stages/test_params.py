"""Numbers that no computation can represent are refused for every parameter of every method."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.params import Params
from qsmengine.stages.registry import all_methods

ABSURD = (1e300, -1e300, 1e-300, float("nan"), float("inf"))


def numbers(model: type[Params], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the path of every parameter that takes a float, and whether it is a tuple."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, Params)), None)
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


def test_methods_with_their_defaults_need_no_pydantic():
    code = (
        "import sys\n"
        "from qsmengine.modalities.dwi.stages import SECTIONS\n"
        "from qsmengine.pipeline.configuration.config import load_config\n"
        "config = load_config(settings=['diffusion=iwls'], sections=SECTIONS)\n"
        "assert config.method('diffusion')[1].iterations == 2\n"
        "assert 'pydantic' not in sys.modules\n"
        "load_config(settings=['diffusion=iwls', 'diffusion.iterations=3'], sections=SECTIONS)\n"
        "assert 'pydantic' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: f"{method.stage}-{method.name}")
def test_unchecked_defaults_equal_checked_ones(method):
    usual = method.params()
    checked = method.params.model_validate({})
    assert checked == usual
    assert hash(checked) == hash(usual)
    assert copy.deepcopy(usual) == usual
    assert usual.model_dump(mode="json", by_alias=True) == method.params.model()().model_dump(
        mode="json", by_alias=True
    )
