"""YAML from users: plain values only, with protection against documents that expand when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qsmengine.errors import InputError

MAX_BYTES = 1 << 20
MAX_NODES = 100_000
"""Largest number of values of a document; values repeated by aliases count each time."""
MAX_DEPTH = 50
MAX_DIGITS = 400
"""Characters of a whole number."""


class YamlError(ValueError):
    """Invalid or unsupported YAML; the message is one readable line."""


class _Loader(yaml.SafeLoader):
    """Safe loader that keeps dates as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rsplit(":", 1)[-1] in {"null", "bool", "int", "float", "str", "seq", "map"}
}


def parse_yaml(text: str) -> Any:
    """Return the value of one YAML document: mappings, lists, text, numbers, true, false and null.

    Raises
    ------
    YamlError
        For invalid YAML, tags, aliases that contain themselves or repeat more than 100,000 values, nesting
        deeper than 50, or numbers that cannot be represented.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, 0) > MAX_NODES:
            raise YamlError(f"contains more than {MAX_NODES} values; aliases repeat too much")
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(" ".join(str(error).split())) from None
    except RecursionError:
        raise YamlError("nested too deeply") from None


def read_yaml(path: str | Path) -> Any:
    """Return the value of a YAML file; see :func:`parse_yaml`.

    Raises
    ------
    InputError
        If the file is missing, unreadable, larger than 1 MiB, not UTF-8 or not YAML; the message names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"larger than {MAX_BYTES} bytes: not a configuration", source=path)
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", source=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not YAML: not UTF-8 ({error.reason})", source=path) from None
    except YamlError as error:
        raise InputError(f"not YAML: {error}", source=path) from None


def _size(node: yaml.Node, known: dict[int, int | None], depth: int) -> int:
    """Count the values of a node, including every repetition by aliases; None in `known`: still counting."""
    if depth > MAX_DEPTH:
        raise YamlError(f"nested deeper than {MAX_DEPTH}")
    if node.tag == "tag:yaml.org,2002:int" and len(str(node.value)) > MAX_DIGITS:
        raise YamlError(f"a whole number of more than {MAX_DIGITS} characters")
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise YamlError("an alias contains itself")
        return size
    known[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = list(node.value)
    size = 1 + sum(_size(child, known, depth + 1) for child in children)
    known[id(node)] = size
    return size
