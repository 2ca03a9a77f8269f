"""Choices of a client (preset, maps, type of the pixels), declared once for parsing and for the image label."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from qsmengine.errors import InputError, UsageError
from qsmengine.modalities.gre.stages import SECTIONS
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET, load_config, preset_names
from qsmengine.pipeline.configuration.messages import near
from qsmengine.pipeline.configuration.model import Config

Pixels: TypeAlias = Literal["int16", "float"]
SOURCE = "parameters"
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_FOR_CLIENTS = frozenset({"config", "customconfig"})
"""Parameters that clients of every server send, without meaning here."""


@dataclass(frozen=True)
class Parameter:
    """Parameter of a client: its values, None for true or false, and texts of its dialogue."""

    name: str
    label: str
    information: str
    values: tuple[str, ...] | None = None


PARAMETERS = (
    Parameter("preset", "Preset", "Reconstruction of susceptibility", preset_names()),
    Parameter("r2star", "R2*", "Send the map of R2* [1/s]"),
    Parameter("uncertainty", "Uncertainty", "Send the half-width of the 68 % interval of susceptibility [ppb]"),
    Parameter("swi", "SWI", "Send the susceptibility-weighted image"),
    Parameter("pixels", "Pixels", "int16 with a rescale slope, or float", ("int16", "float")),
)


@dataclass(frozen=True)
class Choice:
    """What is reconstructed and sent.

    Parameters
    ----------
    file, settings
        Configuration file and settings of the server.
    preset
        Name of the preset.
    r2star, uncertainty, swi
        Whether these maps are sent in addition to susceptibility.
    pixels
        Type of the pixels: "int16" with a rescale slope, or "float".
    """

    file: Path | None = None
    settings: tuple[str, ...] = field(default=())
    preset: str = DEFAULT_PRESET
    r2star: bool = True
    uncertainty: bool = True
    swi: bool = True
    pixels: Pixels = "int16"

    def config(self) -> Config:
        """Return the configuration; raises UsageError if it is invalid.

        Uncertainty and SWI are added, unless the server's own settings name them.
        """
        config = load_config(self.file, preset=self.preset, settings=self.settings, sections=SECTIONS)
        named = {re.split(r"[.=]", setting)[0] for setting in self.settings}
        more = []
        for name, wanted, method in (
            ("uncertainty", self.uncertainty, "calibrated"),
            ("swi", self.swi, "homodyne"),
        ):
            if not wanted:
                more.append(f"{name}=none")
            elif name not in named and getattr(config, name, None) is None:
                more.append(f"{name}={method}")
        settings = [*self.settings, *more]
        return load_config(self.file, preset=self.preset, settings=settings, sections=SECTIONS)

    def changed(self, given: Mapping[str, Any]) -> Choice:
        """Return the choice with a client's parameters.

        Raises
        ------
        UsageError
            For an unknown parameter or value; the message names the nearest.
        """
        known = {parameter.name: parameter for parameter in PARAMETERS}
        changes: dict[str, Any] = {}
        for name, value in given.items():
            if name in _FOR_CLIENTS:
                continue
            if name not in known:
                raise UsageError(f"{SOURCE}: unknown parameter {near(name, known)}")
            changes[name] = _value(known[name], str(value))
        return replace(self, **changes)


def parse_parameters(text: str) -> Mapping[str, Any] | None:
    """Return the parameters of a JSON text ``{"parameters": {...}}``; None for a text that is not JSON.

    Raises
    ------
    InputError
        If "parameters" is not an object.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("not JSON", source="configuration text") from None
    found = tree.get(SOURCE, {})
    if not isinstance(found, dict):
        raise InputError("not an object", source="configuration text", field=SOURCE)
    return found


def _value(parameter: Parameter, text: str) -> str | bool:
    if parameter.values is None:
        if text.lower() not in {*_TRUE, *_FALSE}:
            raise UsageError(f"{SOURCE}: {parameter.name}: {text!r} is neither true nor false")
        return text.lower() in _TRUE
    if text not in parameter.values:
        raise UsageError(f"{SOURCE}: {parameter.name}: unknown value {near(text, parameter.values)}")
    return text
