import pytest
from pydantic import ValidationError

from qsmengine.stages.catalogue import INPUT_UNITS, parameter_texts
from qsmengine.stages.params import Field, Params
from qsmengine.stages.registry import STAGES, all_methods, get_method


def allowed(stage, method):
    return {p.name: p for p in parameter_texts(get_method(stage, method).params)}


def test_every_stage_and_input_is_described_and_nothing_else():
    assert all(stage.purpose for stage in STAGES)
    assert set(INPUT_UNITS) == {name.rstrip("?") for m in all_methods() for name in m.inputs}


@pytest.mark.parametrize("method", all_methods(), ids=lambda m: f"{m.stage}-{m.name}")
def test_every_parameter_has_default_allowed_values_and_meaning(method):
    texts = parameter_texts(method.params)
    assert [p.name for p in texts] == [f.alias or n for n, f in method.params.model_fields.items()]
    assert all(p.default and p.allowed and p.description for p in texts)


def test_ranges_are_those_that_validation_enforces():
    class Some(Params):
        ratio: float = Field(0.5, gt=0, le=1, description="d")
        count: int | None = Field(None, ge=2, description="d")

    ratio, count = parameter_texts(Some)
    assert (ratio.allowed, ratio.default) == ("number > 0, <= 1", "0.5")
    assert (count.allowed, count.default) == ("integer >= 2 or none", "none")
    for wrong in ({"ratio": 0}, {"ratio": 1.01}, {"count": 1}):
        with pytest.raises(ValidationError):
            Some(**wrong)
    Some(ratio=1, count=2)


def test_choices_lists_flags_and_nested_parameters_are_readable():
    romeo = allowed("unwrap", "romeo")
    assert romeo["mode"].allowed == "template | individual"
    assert romeo["magnitude_weights"].default == "false"
    assert allowed("phase-offset", "mcpc3ds")["sigma"].default == "[10, 10, 5]"
    assert allowed("mask", "combined")["bet"].allowed.startswith("mapping of threshold, gradient")
