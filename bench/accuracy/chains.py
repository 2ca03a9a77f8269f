"""Chains of methods, taken from the registry and the presets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from qsmengine.pipeline.config import DEFAULT_PRESET, load_config, preset_names, read_preset
from qsmengine.stages.registry import all_methods, methods_of

Section = Mapping[str, Any]
TARGETS = {"field": "total_field", "background": "local_field"}
"""Table -> map that is scored; chi in all others."""
FIELD_SECTIONS = ("phase_offset", "unwrap", "field", "reliability")


@dataclass(frozen=True)
class Chain:
    """Steps from `start` ("raw", "total" or "local") to the map that is scored.

    Parameters
    ----------
    name
        For tables.
    table
        "field", "background", "inversion", "combination" or "preset".
    start
        What the first step gets: raw echoes, the true total field or the true local field.
    sections
        Section of the configuration -> method and parameters, in order. Empty for presets.
    preset
        Preset that runs whole, with the true mask unless `own_mask`.
    """

    name: str
    table: str
    start: str
    sections: Mapping[str, Section] = field(default_factory=dict)
    preset: str | None = None
    own_mask: bool = False

    @property
    def target(self) -> str:
        """Map that is scored."""
        return TARGETS.get(self.table, "chi")

    @property
    def digest(self) -> str:
        """Changes with any method or parameter of the chain; presets count as what they contain."""
        facts: dict[str, Any] = asdict(self)
        if self.preset is not None:
            facts["content"] = read_preset(self.preset)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def parameters(stage: str, method: str, *, exact: bool = False) -> Section:
    """Method with its parameters: those of the first preset that names it, else (or if `exact`) its defaults.

    Presets regularise for fields that were measured; the defaults suit exact ones.
    """
    if not exact:
        for preset in preset_names():
            section = read_preset(preset).get(stage)
            if section and section["method"] == method:
                return dict(section)
    return {"method": method}


def field_chains() -> list[Chain]:
    """Every unwrapping with every field fit."""
    offset = read_preset(DEFAULT_PRESET)["phase_offset"]
    return [
        Chain(
            f"{unwrap} + {fit}", "field", "raw",
            {"phase_offset": offset, "unwrap": {"method": unwrap}, "field": {"method": fit}},
        )
        for unwrap in methods_of("unwrap")
        for fit in methods_of("field")
    ]  # fmt: skip


def background_chains() -> list[Chain]:
    """Every background removal, from the true total field."""
    return [
        Chain(name, "background", "total", {"background": parameters("background", name, exact=True)})
        for name in background_names()
    ]


def inversion_chains() -> list[Chain]:
    """Every inversion with its defaults, from the true local field."""
    return [
        Chain(name, "inversion", "local", {"inversion": parameters("inversion", name, exact=True)})
        for name in inversion_names("local_field")
    ]


def combination_chains(start: str) -> list[Chain]:
    """Every background removal with every inversion, and the inversions that take the total field itself."""
    first = {s: read_preset(DEFAULT_PRESET).get(s) for s in FIELD_SECTIONS} if start == "raw" else {}
    sections = {key: value for key, value in first.items() if value}
    chains = [
        Chain(
            f"{background} + {inversion}", "combination", start,
            {
                **sections,
                "background": parameters("background", background),
                "inversion": parameters("inversion", inversion),
            },
        )
        for background in background_names()
        for inversion in inversion_names("local_field")
    ]  # fmt: skip
    chains += [
        Chain(name, "combination", start, {**sections, stage: parameters(stage, name)})
        for stage, name in single_steps()
    ]
    return chains


def preset_chains(start: str, echoes: int, *, own_mask: bool = False) -> list[Chain]:
    """Presets that are meant for this number of echoes: whole, or their steps from `start` on."""
    chains = []
    for preset in preset_names():
        wanted = {"single-echo": 1, "double-echo-flash": 2}.get(preset)
        if wanted is not None and wanted != echoes:
            continue
        if start == "raw":
            name = f"{preset}, own mask" if own_mask else preset
            chains.append(Chain(name, "preset", "raw", preset=preset, own_mask=own_mask))
            continue
        tree = load_config(preset=preset).as_tree()
        names = ("inversion",) if start == "local" else ("background", "inversion")
        sections = {name: tree[name] for name in names}
        if start == "local":
            sections = {"inversion": {"method": tree["inversion"]["method"]}}
        chains.append(Chain(preset, "preset", start, sections))
    return chains


def background_names() -> tuple[str, ...]:
    """Registered background removals that take a field."""
    return tuple(name for name, m in methods_of("background").items() if "total_field" in m.inputs)


def inversion_names(source: str) -> tuple[str, ...]:
    """Registered inversions whose input is `source`."""
    return tuple(name for name, m in methods_of("inversion").items() if source in m.inputs)


def single_steps() -> tuple[tuple[str, str], ...]:
    """Stage and name of registered methods that make chi of the total field."""
    return tuple(
        (method.stage, method.name)
        for method in all_methods()
        if "chi" in method.outputs and "total_field" in method.inputs
    )
