"""Loading of a configuration from presets, files and single settings.

A configuration is merged from a preset, a YAML file and settings (``inversion.lambda=2e-4``), in this order,
and then validated as a whole. Naming a different `method` discards the parameters given by a weaker source.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError, UsageError
from qsmengine.pipeline.configuration.lengths import named_lengths
from qsmengine.pipeline.configuration.messages import explain, near
from qsmengine.pipeline.configuration.model import (
    Config,
    InputOptions,
    Tree,
    chosen_methods,
    config_model,
    configured_stages,
    narrow_model,
    part_of,
    section_of,
    stage_of,
)
from qsmengine.pipeline.configuration.presets import PRESETS
from qsmengine.stages.deferred import aliases, required
from qsmengine.stages.params import Params
from qsmengine.stages.registry import methods_of

SCHEMA_VERSION = 1
DEFAULT_PRESET = "accurate"
_SPECIAL_WORDS = frozenset({"none", "null", "true", "false", "yes", "no", "on", "off"})
"""Words that are not text in YAML, and ``none``; other plain words need no parser."""


def load_config(
    path: str | Path | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    settings: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    sections: Collection[str] | None = None,
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
    sections
        Sections that the run uses; others are left out, after validation where the file, the overrides or the
        settings name them. None: all.

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
        if stage.default:
            tree.setdefault(stage.section, {"method": stage.default})
        if {*stage.replaces, *stage.excludes} & set(chosen):
            tree.pop(stage.section, None)
    used = None if sections is None else {*sections, *chosen}
    tree = {key: value for key, value in tree.items() if used is None or key in {"schema_version", *used}}
    source = None if path is None else str(path)
    config = validate(merge(tree, chosen), source, used, bundled=tree.keys() - chosen.keys())
    if "in_mm" not in chosen:
        config = config.model_copy(update={"in_mm": named_lengths(config, chosen)})
    foreign = sections is not None and aliases(type(config)).keys() - {*aliases(Config), *sections}
    return validate(part_of(config.as_tree(), sections), None, sections) if sections and foreign else config


def validate(
    tree: Tree,
    source: str | None = None,
    sections: Collection[str] | None = None,
    *,
    bundled: Collection[str] = (),
) -> Config:
    """Build a configuration with the given sections (default: all); raises UsageError naming the invalid key.

    Only the modules of the methods named in `tree` are imported, unless validation fails, and pydantic only if
    there is a value to check. Sections in `bundled` are those of a preset, whose values the tests check.
    """
    with suppress(UsageError):
        usual = _unchecked(tree, narrow_model(chosen_methods(tree, sections)), bundled)
        if usual is not None:
            return usual
    from pydantic import ValidationError

    with suppress(ValidationError, UsageError):
        return narrow_model(chosen_methods(tree, sections)).model_validate(tree)
    try:
        return config_model(None if sections is None else frozenset(sections)).model_validate(tree)
    except ValidationError as error:
        message = "; ".join(dict.fromkeys(explain(e, tree, known_keys) for e in error.errors()))
        raise UsageError(message if source is None else f"{source}: {message}") from None


def _unchecked(tree: Tree, model: type[Config], bundled: Collection[str]) -> Config | None:
    """Return the configuration of a tree if no value needs a check, else None.

    Defaults of methods need none, nor does what a preset says of the sections in `bundled`.
    """
    sections: Tree = {}
    for key, value in tree.items():
        members = model.members.get(key, {})
        plain = isinstance(value, dict) and (key in bundled or value.keys() == {"method"})
        if plain and value.get("method") in members:
            sections[key] = members[value["method"]].model_construct(**value)
        elif value is None and key in model.members and not members:
            sections[key] = None
        elif (key, value) != ("schema_version", SCHEMA_VERSION):
            return None
    given = {"schema_version": SCHEMA_VERSION, **sections}
    return (
        model.model_construct(**given) if "schema_version" in tree and required(model) <= given.keys() else None
    )


def preset_names() -> tuple[str, ...]:
    """Return the names of the bundled presets."""
    return tuple(PRESETS)


def read_preset(name: str) -> Tree:
    """Return the nested values of a preset; raises UsageError with the nearest name for an unknown one."""
    if name not in preset_names():
        raise UsageError(f"unknown preset {near(name, preset_names())}")
    sections = {key: None if value is None else dict(value) for key, value in PRESETS[name].items()}
    return {"schema_version": SCHEMA_VERSION, **sections}


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
    if text.isascii() and text.isidentifier() and text.lower() not in _SPECIAL_WORDS:
        return text
    from qsmengine.io.yaml_text import YamlError, parse_yaml  # slow to import, and not every command reads YAML

    try:
        return None if text.strip().lower() == "none" else parse_yaml(text)
    except YamlError:
        return text


def known_keys(section: str | None, method: str | None) -> tuple[str, ...]:
    """Return the names allowed at the top level (section None) or in a section."""
    if section is None:
        return tuple(aliases(config_model()))
    if section == "input":
        return tuple(aliases(InputOptions))
    methods = methods_of(stage_of(section))
    if method not in methods:
        return ("method",)
    return ("method", *parameter_names(methods[method].params))


def parameter_names(params: type[Params]) -> tuple[str, ...]:
    """Return the names of a method's parameters as used in settings."""
    return tuple(aliases(params).values())


def _names_method(setting: Tree) -> bool:
    (value,) = setting.values()
    return value is None or "method" in value


def read_settings(path: Path) -> Any:
    """Return the content of a YAML file of settings; raises UsageError naming the file if it cannot be read."""
    from qsmengine.io.yaml_text import read_yaml

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
