"""Lengths given by the user in mm, which do not scale with the size of the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.deferred import aliases


def named_lengths(config: Config, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters (``section.key``) among the nested values `chosen` whose unit contains a length."""
    found: list[str] = []
    for section, values in chosen.items():
        step = config.method(section) if isinstance(values, dict) and section != "input" else None
        if step is None:
            continue
        keys = {key: name for name, key in aliases(step[0].params).items()}
        found.extend(f"{section}.{key}" for key in values if key in keys and step[1].length_power(keys[key]))
    return tuple(sorted(found))
