"""The validated configuration: one section per stage, built from the registry.

Every section is a union over the stage's methods, discriminated by `method`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache, partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from qsmengine.errors import UsageError
from qsmengine.stages import registry
from qsmengine.stages.deferred import aliases
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.registry import get_method, methods_of
from qsmengine.stages.stage import Stage

if TYPE_CHECKING:
    from pydantic import AfterValidator, ConfigDict
    from pydantic import BaseModel as Declaration
else:
    from qsmengine.stages.deferred import AfterValidator, Declaration

Tree: TypeAlias = dict[str, Any]


def _known_units(text: str) -> str:
    from qsmengine.io.phase_units import OVERRIDE, is_unit

    if not is_unit(text):
        raise ValueError(OVERRIDE)
    return text


class InputOptions(Params):
    """Settings for reading raw images; None: decided from the files."""

    phase_sign: Literal[1, -1] = Field(
        1, description="-1 if the scanner's phase decreases with increasing field"
    )
    phase_units: Annotated[str, AfterValidator(_known_units)] | None = Field(
        None, description="unit of the phase values, or the values that stand for -pi and pi: -180..180"
    )
    slice_alternation: bool | None = Field(
        None, description="whether the phase of every second slice is off by pi and must be corrected"
    )
    repetitions: Literal["average"] | Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="for files with repetitions of one echo: average them, or the number of the one to use",
    )
    brighter_later: bool = Field(
        False,
        description="whether magnitudes may grow with the echo time, as if every echo has its own scale",
    )
    motion: bool = Field(
        False, description="whether every frame of a bolus series is registered to the frames before the bolus"
    )
    resample_b1: bool = Field(
        False, description="whether a B1 map on another grid is interpolated in scanner coordinates"
    )
    object_size: float | None = Field(
        None,
        gt=0,
        le=10,
        description="size of the object relative to an adult's head; default lengths scale with it",
    )


class Config(Declaration):
    """Validated configuration; :func:`config_model` adds one section per stage.

    Attributes
    ----------
    schema_version
        Version of this layout.
    input
        Settings for reading raw images.
    in_mm
        Parameters (``section.key``) with lengths given by the user in mm. All other lengths are those of an
        adult's head and scale with the size of the object (:mod:`qsmengine.stages.object_size`).
    """

    if TYPE_CHECKING:
        model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    input: InputOptions = InputOptions()
    in_mm: tuple[str, ...] = ()
    members: ClassVar[Mapping[str, Mapping[str, type[Params]]]] = {}
    """Section -> method -> class of its values."""

    def method(self, section: str) -> tuple[Method, Params] | None:
        """Return the method of a section with its parameters; None if the section is switched off.

        Only the lengths named in `in_mm` count as set (:meth:`Params.counted_in`).
        """
        chosen = getattr(self, section)
        if chosen is None:
            return None
        method = get_method(stage_of(section), chosen.method)
        names = aliases(method.params)
        named = {name for name, key in names.items() if f"{section}.{key}" in self.in_mm}
        values = {key: getattr(chosen, name) for name, key in names.items()}
        return method, method.params.model_construct(_fields_set=named, **values)

    def as_tree(self) -> Tree:
        """Return every value as JSON types, including defaults, under the names used in settings."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces); equal configurations have equal digests."""
        text = json.dumps(self.as_tree(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def section_of(stage: str) -> str:
    """Return the section that configures a stage: "phase-offset" -> "phase_offset"."""
    return stage.replace("-", "_")


def stage_of(section: str) -> str:
    """Return the stage that a section configures."""
    return section.replace("_", "-")


def configured_stages(sections: Collection[str] | None = None) -> tuple[Stage, ...]:
    """Return the stages that have a section, or those of the given sections."""
    stages = (stage for stage in registry.STAGES if stage.presence != "internal")
    return tuple(stage for stage in stages if sections is None or stage.section in sections)


@cache
def config_model(sections: frozenset[str] | None = None) -> type[Config]:
    """Return the configuration class with the given sections, or with one for every registered stage."""
    return _model({stage: tuple(methods_of(stage.name).values()) for stage in configured_stages(sections)})


@cache
def narrow_model(chosen: tuple[tuple[Stage, str], ...]) -> type[Config]:
    """Return the configuration class in which each stage has only the named method, "" for none."""
    methods: dict[Stage, tuple[Method, ...]] = {}
    for stage, name in chosen:
        if not name and stage.presence == "required":
            raise UsageError(f"{stage.section} is missing")
        methods[stage] = (get_method(stage.name, name),) if name else ()
    return _model(methods)


def _model(methods: Mapping[Stage, tuple[Method, ...]]) -> type[Config]:
    kinds: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    classes: dict[str, dict[str, type[Params]]] = {}
    for stage, possible in methods.items():
        members: list[Any] = [_member(stage.name, method) for method in possible]
        classes[stage.section] = {method.name: member for method, member in zip(possible, members, strict=True)}
        if not members:
            kinds[stage.section] = type(None)
            if stage.presence == "extra":
                defaults[stage.section] = None
            continue
        union = reduce(or_, members)
        if len(members) > 1:
            union = Annotated[union, Field(discriminator="method")]
        kinds[stage.section] = union if stage.presence == "required" else union | None
        if stage.presence == "extra":
            defaults[stage.section] = None
        if stage.default in classes[stage.section]:
            usual = partial(classes[stage.section][stage.default].model_construct, method=stage.default)
            defaults[stage.section] = Field(default_factory=usual)
    own = {"__module__": __name__, "__annotations__": kinds, "members": classes, **defaults}
    return type("Config", (Config,), own)


def chosen_methods(tree: Tree, sections: Collection[str] | None = None) -> tuple[tuple[Stage, str], ...]:
    """Return each stage with its method, from `tree` or by default; "" if there is none."""
    named = []
    for stage in configured_stages(sections):
        section = tree.get(stage.section, {"method": stage.default})
        method = section.get("method") if isinstance(section, dict) else ""
        named.append((stage, method if isinstance(method, str) else ""))
    return tuple(named)


def part_of(tree: Tree, sections: Collection[str]) -> Tree:
    """Return the values of a whole configuration that a run with these sections depends on."""
    kept = {key: tree[key] for key in ("schema_version", "input", *sections) if key in tree}
    return {**kept, "in_mm": [name for name in tree["in_mm"] if name.partition(".")[0] in sections]}


def _member(stage: str, method: Method) -> type[Params]:
    """Return a parameter model with the added field `method`, whose only value is the method's name."""
    own = {"__module__": __name__, "__annotations__": {"method": Literal[method.name]}}
    return type(f"{section_of(stage)}.{method.name}", (method.params,), own)
