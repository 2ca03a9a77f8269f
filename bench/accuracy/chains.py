"""Chains of methods, taken from the registry and the presets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from qsmengine.pipeline.configuration.config import DEFAULT_PRESET, load_config, preset_names, read_preset
from qsmengine.pipeline.configuration.model import section_of
from qsmengine.sessions.qsm_ci import SPANS
from qsmengine.stages.registry import all_methods, methods_of

Section = Mapping[str, Any]
TARGETS = {"field": "total_field", "background": "local_field"}
"""Table -> map that is scored; chi in all others."""
STARTS = (("total", "total_field"), ("raw", "phase"))
RIVALS = (("lbv", "weak_harmonic"), ("vsharp", "rts"))
"""Background removal and inversion of chains that always run with the presets, from raw phase."""
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
        for content in _presets():
            section = content.get(section_of(stage))
            if section and section["method"] == method:
                return dict(section)
    return {"method": method}


@cache
def _presets() -> tuple[Mapping[str, Any], ...]:
    return tuple(read_preset(preset) for preset in preset_names())


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
    """Every background removal: from the true total field, from raw phase where it takes the phase itself."""
    return [
        Chain(
            name, "background", start,
            {**({} if start == "total" else _before(first)), **_exact("background", name)},
        )
        for start, first in STARTS
        for name in names_of("background", first, without=first == "phase")
    ]  # fmt: skip


def _exact(stage: str, name: str) -> dict[str, Section]:
    return {stage: parameters(stage, name, exact=True)}


def inversion_chains() -> list[Chain]:
    """Every inversion with its defaults, from the true local field."""
    return [
        Chain(name, "inversion", "local", _exact("inversion", name))
        for name in names_of("inversion", "local_field")
    ]


def combination_chains(start: str) -> list[Chain]:
    """Every background removal with every inversion, and methods that do both.

    From raw phase also those that take the phase itself. Steps before come from the default preset.
    """
    chains = []
    for first in ("total_field", "phase") if start == "raw" else ("total_field",):
        before = _before(first) if start == "raw" else {}
        chains += [
            combined(background, inversion, start, before)
            for background in names_of("background", first, without=first == "phase")
            for inversion in names_of("inversion", "local_field")
        ]  # fmt: skip
        chains += [
            Chain(name, "combination", start, {**before, section_of(stage): parameters(stage, name)})
            for stage, name in single_steps(first)
        ]
    return chains


def combined(background: str, inversion: str, start: str, before: Mapping[str, Section]) -> Chain:
    """Background removal and inversion after the steps `before`."""
    sections = {
        "background": parameters("background", background),
        "inversion": parameters("inversion", inversion),
    }
    return Chain(f"{background} + {inversion}", "combination", start, {**before, **sections})


def rival_chains() -> list[Chain]:
    """RIVALS from raw phase."""
    before = _before("total_field")
    return [combined(background, inversion, "raw", before) for background, inversion in RIVALS]


def _before(first: str) -> dict[str, Section]:
    """Sections of the default preset that lead from raw echoes to `first`; none to the true total field."""
    names = {"phase": ("phase_offset",), "total_field": FIELD_SECTIONS}[first]
    tree = read_preset(DEFAULT_PRESET)
    return {name: tree[name] for name in names if tree.get(name)}


def preset_chains(start: str, echoes: int, *, own_mask: bool = False) -> list[Chain]:
    """Presets that are meant for this number of echoes: whole, or their steps from `start` on.

    From the true local field the default preset runs what `qsm-ci dipole` runs.
    """
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
        if start == "local":
            default = SPANS["dipole"].methods if preset == DEFAULT_PRESET else ()
            sections = {"inversion": {"method": next(iter(default), tree["inversion"]["method"])}}
        else:
            names = ("single_step",) if tree["single_step"] is not None else ("background", "inversion")
            sections = {name: tree[name] for name in names}
        chains.append(Chain(preset, "preset", start, sections))
    return chains


def names_of(stage: str, first: str, *, without: bool = False) -> tuple[str, ...]:
    """Methods of a stage that take `first`; if `without`, only those that do not take the total field."""
    return tuple(
        name for name, method in methods_of(stage).items()
        if first in method.inputs and not (without and "total_field" in method.inputs)
    )  # fmt: skip


def single_steps(first: str) -> tuple[tuple[str, str], ...]:
    """Stage and name of registered methods that make chi of `first`."""
    return tuple(
        (method.stage, method.name)
        for method in all_methods()
        if "chi" in method.outputs and first in method.inputs
    )
