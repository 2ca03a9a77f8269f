"""Units of maps that a command tabulates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from qsmengine.cli.options.parsers import parse_pairs
from qsmengine.errors import InputError, UsageError
from qsmengine.io.sidecars import stated_unit
from qsmengine.pipeline.configuration.messages import near


def map_units(files: Mapping[str, Path], given: Iterable[str] | None) -> dict[str, str]:
    """Return the unit of every map, from the option ``--unit NAME=UNIT`` or else from the map's sidecar.

    Raises
    ------
    UsageError
        For an option of another form or for no map.
    InputError
        For a map without a unit, or with another one in its sidecar.
    """
    stated = parse_pairs(given, "--unit")
    for name in stated:
        if name not in files:
            raise UsageError(f"--unit {name}={stated[name]}: no --map is called {near(name, list(files))}")
    found: dict[str, str] = {}
    for name, path in files.items():
        unit = stated_unit(path, stated.get(name), name)
        if unit is None:
            raise InputError(f"not found; add --unit {name}=UNIT", source=path, field="Units")
        found[name] = unit
    return found
