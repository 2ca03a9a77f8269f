"""Descriptions of stages, methods and their parameters as readable text, made from the registry.

`qsmengine stage --list` and docs/methods.md are both made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qsmengine.stages.method import Method
from qsmengine.stages.params import Params

INPUT_UNITS: Mapping[str, str] = {
    "magnitude": "arbitrary",
    "phase": "rad",
    "echo_times": "s",
    "components": "arbitrary",
    "sigma": "signal",
    "mask": "1",
    "field_mask": "1",
    "reliable_mask": "1",
    "labels": "1",
    "unwrapped": "rad",
    "total_field": "ppm",
    "local_field": "ppm",
    "noise": "ppm",
    "weight": "any",
    "chi": "ppm",
    "reliable_chi": "ppm",
    "filled_chi": "ppm",
    "r2star": "1/s",
    "r2": "1/s",
    "signal": "arbitrary",
    "b_values": "s/mm^2",
    "b_vectors": "1",
    "gradient_deviation": "1",
    "dynamic": "arbitrary",
    "second_dynamic": "arbitrary",
    "frame_times": "s",
    "echo_time": "s",
    "second_echo_time": "s",
    "dr2star": "1/s",
    "dr2star_sd": "1/s",
    "s0": "arbitrary",
    "saturated": "1",
    "arrival": "s",
    "aif_mask": "1",
    "aif": "1/s",
    "spoiled": "arbitrary",
    "flip_angles": "deg",
    "repetition_times": "s",
    "spoiled_times": "s",
    "b1": "1",
    "r1": "1/s",
    "amplitude": "arbitrary",
    "spin_echoes": "arbitrary",
    "spin_echo_times": "s",
    "balanced": "arbitrary",
    "cycled": "arbitrary",
    "cycled_phase": "rad",
    "cycled_increments": "deg",
    "cycled_times": "s",
    "balanced_angles": "deg",
    "balanced_increments": "deg",
    "balanced_times": "s",
    "balanced_echoes": "s",
    "afi_short": "arbitrary",
    "afi_long": "arbitrary",
    "angle_single": "arbitrary",
    "angle_double": "arbitrary",
    "t1w": "arbitrary",
}
"""Argument of methods -> unit."""

_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
_BOUNDS = (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))


@dataclass(frozen=True)
class ParameterText:
    """One parameter: name as users write it, default, allowed values, description."""

    name: str
    default: str
    allowed: str
    description: str


def parameter_texts(params: type[Params]) -> tuple[ParameterText, ...]:
    """Describe every parameter, in the order of the class."""
    schema = params.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    texts = []
    for name, field in params.model_fields.items():
        key = field.alias or name
        allowed = _allowed(schema["properties"][key], definitions)
        texts.append(ParameterText(key, _value(field.default), allowed, field.description or ""))
    return tuple(texts)


def input_texts(method: Method) -> tuple[str, ...]:
    """Return the inputs with their units; a name that ends in ``?`` is optional."""
    return tuple(f"{name} [{INPUT_UNITS[name.rstrip('?')]}]" for name in method.inputs)


def output_texts(method: Method) -> tuple[str, ...]:
    """Return the outputs with their units."""
    return tuple(f"{name} [{unit}]" for name, unit in method.outputs.items())


def source_url(method: Method) -> str:
    """Return the address of the publication."""
    return f"https://doi.org/{method.doi}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Params):
        return "its defaults"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Allowed values of one JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(part, definitions) for part in schema["anyOf"]))
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), None)
    if reference is not None:
        names = definitions[reference.rpartition("/")[2]]["properties"]
        return f"mapping of {', '.join(names)}"
    if "enum" in schema:
        return " | ".join(map(_value, schema["enum"]))
    if schema.get("type") == "null":
        return "none"
    if schema.get("type") == "array":
        return _list(schema, definitions)
    bounds = ", ".join(f"{sign} {_value(schema[key])}" for key, sign in _BOUNDS if key in schema)
    kind = _TYPES[schema["type"]]
    return f"{kind} {bounds}" if bounds else kind


def _list(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        parts = [_allowed(part, definitions) for part in schema["prefixItems"]]
        return f"{len(parts)} values: {', '.join(dict.fromkeys(parts))}"
    return f"list of: {_allowed(schema['items'], definitions)}"
