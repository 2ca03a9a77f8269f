"""Configuration of a run: a method and its parameters per stage, built from the registry.

Every section is a union over the stage's methods, discriminated by `method`. A configuration is merged from a
preset, a YAML file and single settings (``inversion.lambda=2e-4``), in this order, and then validated as a
whole. Naming a different `method` discards the parameters given by a weaker source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from qsmengine.errors import InputError, UsageError
from qsmengine.io.yaml_text import YamlError, parse_yaml, read_yaml
from qsmengine.pipeline.configuration.lengths import named_lengths
from qsmengine.pipeline.configuration.messages import explain, near
from qsmengine.stages import registry
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.registry import get_method, methods_of
from qsmengine.stages.stage import Stage

SCHEMA_VERSION = 1
PRESETS = Path(__file__).parent / "presets"
DEFAULT_PRESET = "accurate"

Tree: TypeAlias = dict[str, Any]


class InputOptions(Params):
    """Settings for reading raw images; None: decided from the files."""

    phase_sign: Literal[1, -1] = Field(
        1, description="-1 if the scanner's phase decreases with increasing field"
    )
    phase_units: Literal["rad", "stored-rad", "rad-0-2pi", "siemens", "siemens-raw", "mrad"] | None = Field(
        None, description="unit of the phase values"
    )
    slice_alternation: bool | None = Field(
        None, description="whether the phase of every second slice is off by pi and must be corrected"
    )
    repetitions: Literal["average"] | Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="for files with repetitions of one echo: average them, or the number of the one to use",
    )
    object_size: float | None = Field(
        None,
        gt=0,
        le=10,
        description="size of the object relative to an adult's head; default lengths scale with it",
    )


class Config(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    input: InputOptions = InputOptions()
    in_mm: tuple[str, ...] = ()

    def method(self, section: str) -> tuple[Method, Params] | None:
        """Return the method of a section with its parameters; None if the section is switched off.

        Only the lengths named in `in_mm` count as set (:meth:`Params.counted_in`).
        """
        chosen = getattr(self, section)
        if chosen is None:
            return None
        method = get_method(stage_of(section), chosen.method)
        fields = method.params.model_fields
        named = {name for name, field in fields.items() if f"{section}.{field.alias or name}" in self.in_mm}
        values = {field.alias or name: getattr(chosen, name) for name, field in fields.items()}
        return method, method.params.model_construct(_fields_set=named, **values)

    @property
    def b0_threshold(self) -> float | None:
        """Largest b-value that counts as b = 0 [s/mm^2], if the diffusion section sets one."""
        return self.diffusion.b0_threshold or None  # type: ignore[attr-defined]

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


def configured_stages() -> tuple[Stage, ...]:
    """Return the stages that have a section."""
    return tuple(stage for stage in registry.STAGES if stage.presence != "internal")


@cache
def config_model() -> type[Config]:
    """Return the configuration class with a section for every registered stage."""
    return _model({stage.name: tuple(methods_of(stage.name).values()) for stage in configured_stages()})


@cache
def _narrow_model(chosen: tuple[str, ...]) -> type[Config]:
    """Return the configuration class in which each stage has only the named method, "" for none."""
    methods: dict[str, tuple[Method, ...]] = {}
    for stage, name in zip(configured_stages(), chosen, strict=True):
        if not name and stage.presence == "required":
            raise UsageError(f"{stage.section} is missing")
        methods[stage.name] = (get_method(stage.name, name),) if name else ()
    return _model(methods)


def _model(methods: Mapping[str, tuple[Method, ...]]) -> type[Config]:
    sections: dict[str, Any] = {}
    for stage in configured_stages():
        members: list[Any] = [_member(stage.name, method) for method in methods[stage.name]]
        if not members:
            sections[stage.section] = (None, None if stage.presence == "extra" else ...)
            continue
        union = reduce(or_, members)
        if len(members) > 1:
            union = Annotated[union, Field(discriminator="method")]
        default = None if stage.presence == "extra" else ...
        for method, member in zip(methods[stage.name], members, strict=True):
            if method.name == stage.default:
                default = member(method=stage.default)
        sections[stage.section] = (union if stage.presence == "required" else union | None, default)
    return create_model("Config", __base__=Config, **sections)


def _chosen(tree: Tree) -> tuple[str, ...]:
    """Return the method of each stage, from `tree` or by default; "" if there is none."""
    named = []
    for stage in configured_stages():
        section = tree.get(stage.section, {"method": stage.default})
        method = section.get("method") if isinstance(section, dict) else ""
        named.append(method if isinstance(method, str) else "")
    return tuple(named)


def _member(stage: str, method: Method) -> type[Params]:
    """Return a parameter model with the added field `method`, whose only value is the method's name."""
    name: Any = Literal[method.name]
    return create_model(f"{section_of(stage)}.{method.name}", __base__=method.params, method=(name, ...))


def load_config(
    path: str | Path | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    settings: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Merge preset, file and settings into one validated configuration.

    Naming background removal, inversion or two passes disables the preset's single step.

    Parameters
    ----------
    path
        YAML file; sections that it does not contain come from the preset.
    preset
        Name of a preset, see :func:`preset_names`.
    settings
        ``section.key=value`` strings with values in YAML; ``section=method`` is short for
        ``section.method=method``, and ``section=none`` switches a step off.
    overrides
        Nested values that override the file and are overridden by the settings.

    Raises
    ------
    UsageError
        For an unknown key, a value out of range or an invalid YAML file; the message names the key and suggests
        the nearest known one.
    """
    chosen: Tree = {} if path is None else _read_tree(Path(path))
    chosen = merge(chosen, dict(overrides or {}))
    parsed = [parse_setting(setting) for setting in settings]
    for setting in sorted(parsed, key=lambda s: not _names_method(s)):
        chosen = merge(chosen, setting)
    tree = read_preset(preset)
    for stage in configured_stages():
        if {*stage.replaces, *stage.excludes} & set(chosen):
            tree.pop(stage.section, None)
    config = validate(merge(tree, chosen), None if path is None else str(path))
    return config if "in_mm" in chosen else config.model_copy(update={"in_mm": named_lengths(config, chosen)})


def validate(tree: Tree, source: str | None = None) -> Config:
    """Build a configuration from nested values; raises UsageError naming the invalid key.

    Only the modules of the methods named in `tree` are imported, unless validation fails.
    """
    with suppress(ValidationError, UsageError):
        return _narrow_model(_chosen(tree)).model_validate(tree)
    try:
        return config_model().model_validate(tree)
    except ValidationError as error:
        message = "; ".join(dict.fromkeys(explain(e, tree, known_keys) for e in error.errors()))
        raise UsageError(message if source is None else f"{source}: {message}") from None


def preset_names() -> tuple[str, ...]:
    """Return the names of the bundled presets."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def read_preset(name: str) -> Tree:
    """Return the nested values of a preset; raises UsageError with the nearest name for an unknown one."""
    if name not in preset_names():
        raise UsageError(f"unknown preset {near(name, preset_names())}")
    return _read_tree(PRESETS / f"{name}.yaml")


def merge(weak: Tree, strong: Tree) -> Tree:
    """Merge `strong` into `weak`; a section whose method changes is replaced."""
    merged = dict(weak)
    for key, value in strong.items():
        old = merged.get(key)
        if not (isinstance(value, dict) and isinstance(old, dict)):
            merged[key] = value
        elif "method" in value and value["method"] != old.get("method"):
            merged[key] = dict(value)
        else:
            merged[key] = {**old, **value}
    return merged


def parse_setting(setting: str) -> Tree:
    """Parse ``section.key=value`` into nested values; raises UsageError for any other form."""
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) > 2 or not all(parts):
        raise UsageError(f"--set {setting}: write section.key=value, such as inversion.lambda=2e-4")
    known = (*(stage.section for stage in configured_stages()), "input")
    section = section_of(parts[0])
    if section not in known:
        raise UsageError(f"--set {setting}: unknown section {near(section, known)}")
    value = parse_value(text)
    if len(parts) == 2:
        return {section: {parts[1]: value}}
    return {section: None if value is None else {"method": value}}


def parse_value(text: str) -> Any:
    """Parse the value of a setting: YAML, with ``none`` for None."""
    try:
        return None if text.strip().lower() == "none" else parse_yaml(text)
    except YamlError:
        return text


def known_keys(section: str | None, method: str | None) -> tuple[str, ...]:
    """Return the names allowed at the top level (section None) or in a section."""
    if section is None:
        return tuple(config_model().model_fields)
    if section == "input":
        return tuple(InputOptions.model_fields)
    methods = methods_of(stage_of(section))
    if method not in methods:
        return ("method",)
    return ("method", *parameter_names(methods[method].params))


def parameter_names(params: type[Params]) -> tuple[str, ...]:
    """Return the names of a method's parameters as used in settings."""
    return tuple(field.alias or name for name, field in params.model_fields.items())


def _names_method(setting: Tree) -> bool:
    (value,) = setting.values()
    return value is None or "method" in value


def read_settings(path: Path) -> Any:
    """Return the content of a YAML file of settings; raises UsageError naming the file if it cannot be read."""
    try:
        return read_yaml(path)
    except InputError as error:
        raise UsageError(str(error)) from None


def _read_tree(path: Path) -> Tree:
    tree = read_settings(path)
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: contains no sections")
    if tree.get("schema_version") != SCHEMA_VERSION:
        found = tree.get("schema_version", "none")
        raise UsageError(f"{path}: schema_version is {found}, this version reads {SCHEMA_VERSION}")
    return tree
