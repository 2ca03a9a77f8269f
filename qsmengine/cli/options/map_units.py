"""Units of maps that a command tabulates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from qsmengine.cli.options.parsers import parse_pairs
from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_sidecar


def map_units(files: Mapping[str, Path], given: Iterable[str] | None) -> dict[str, str]:
    """Return the unit of every map, from the option ``--unit NAME=UNIT`` or else from the map's sidecar.

    Raises
    ------
    UsageError
        For an option of another form.
    InputError
        For a map without a unit.
    """
    stated = parse_pairs(given, "--unit")
    found: dict[str, str] = {}
    for name, path in files.items():
        unit = stated.get(name) or read_sidecar(path).text("Units")
        if unit is None:
            raise InputError(f"not found; add --unit {name}=UNIT", source=path, field="Units")
        found[name] = unit
    return found
