"""Parameters of one registered method, from ``name=value`` strings or a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.config import parameter_names, parse_value
from qsmengine.pipeline.configuration.messages import explain
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params


def parse_params(method: Method, settings: Sequence[str] | Mapping[str, Any]) -> Params:
    """Build a method's parameters from ``name=value`` strings or a mapping; UsageError names the key."""
    if isinstance(settings, Mapping):
        values = dict(settings)
    else:
        pairs = [setting.partition("=") for setting in settings]
        bad = next((key for key, equals, _ in pairs if not equals), None)
        if bad is not None:
            raise UsageError(f"--set {bad}: write parameter=value")
        values = {key.strip().removeprefix(f"{method.stage}."): parse_value(text) for key, _, text in pairs}
    try:
        return method.params.model_validate(values)
    except ValidationError as error:
        known = parameter_names(method.params)
        tree = {method.stage: values}
        found = [{**e, "loc": (method.stage, *e["loc"])} for e in error.errors()]
        raise UsageError("; ".join(explain(e, tree, lambda *_: known) for e in found)) from None
