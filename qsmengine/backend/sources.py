"""Locations of the kernels: sources (``.cu``, ``.h``, ``.cpp``) and compiled CPU libraries.

In a source tree they are in ``kernels/`` and ``build/kernels/`` next to the package; in an installed
wheel both are in ``qsmengine/_kernels/``.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from qsmengine.errors import DeviceError

_INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"\s*$', re.MULTILINE)


@cache
def source_directory() -> Path:
    """Return the folder of the kernel sources."""
    for base in _package_folders():
        for candidate in (base.parent / "kernels", base / "_kernels"):
            if (candidate / "tile.h").is_file():
                return candidate
    raise DeviceError("the kernel sources (tile.h) are missing from this installation: reinstall qsmengine")


def library_candidates(variant: str) -> list[Path]:
    """Return the possible paths of the CPU library of `variant`, the source tree's build first."""
    name = f"libqsmengine_{variant}.so"
    found = []
    for base in _package_folders():
        if (base.parent / "kernels" / "tile.h").is_file():
            found.append(base.parent / "build" / "kernels" / name)
        found.append(base / "_kernels" / name)
    return found


@cache
def inlined_source(source: str) -> str:
    """Return a kernel source with its ``#include "..."`` lines replaced by the files, each once.

    CuPy's cache key does not cover included files; inlined, a changed header gives a new key. ``#line``
    directives make compiler messages point at the files.
    """
    return _inline(source_directory() / source, set())


def _package_folders() -> list[Path]:
    """Return the folders of the package: several if an editable install adds the compiled parts."""
    spec = find_spec("qsmengine")
    locations = spec.submodule_search_locations if spec else None
    return [Path(location) for location in locations or ()]


def _inline(path: Path, seen: set[str]) -> str:
    seen.add(path.name)

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        line = text[: match.start()].count("\n") + 2
        body = "" if name in seen else _inline(path.parent / name, seen)
        return f'{body}\n#line {line} "{path.name}"'

    text = path.read_text(encoding="utf-8").replace("#pragma once", "")
    return f'#line 1 "{path.name}"\n' + _INCLUDE.sub(replace, text)


@cache
def sources_hash() -> str:
    """Return the first 16 hex digits of the SHA-256 over all kernel sources, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(source_directory().glob("*")):
        if path.suffix in {".cpp", ".cu", ".h"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
