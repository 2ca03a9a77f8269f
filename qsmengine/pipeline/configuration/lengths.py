"""Lengths that a user gave in mm: they do not follow the size of the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qsmengine.stages.method import Method
from qsmengine.stages.params import Params


class Methods(Protocol):
    """A configuration."""

    def method(self, section: str) -> tuple[Method, Params] | None:
        """Method of a section with its parameters."""


def named_lengths(config: Methods, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Parameters (``section.key``) among the nested values `chosen` that have a length in their unit."""
    found: list[str] = []
    for section, values in chosen.items():
        step = config.method(section) if isinstance(values, dict) and section != "input" else None
        if step is None:
            continue
        keys = {field.alias or name: name for name, field in step[0].params.model_fields.items()}
        found.extend(f"{section}.{key}" for key in values if key in keys and step[1].length_power(keys[key]))
    return tuple(sorted(found))
