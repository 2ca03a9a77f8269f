"""The declared signatures are those of the sources, and the sources keep to the dialect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import inlined_source, source_directory

SOURCES = sorted(source_directory().glob("*.cu"))
_KERNEL = re.compile(r"^KERNEL\(\s*(\w+)\s*,\s*\(([^)]*)\)\s*,\s*\(([^)]*)\)\s*\)", re.MULTILINE)


def _normal(parameters: str) -> str:
    return re.sub(r"\s*\*\s*", "* ", " ".join(parameters.replace("RESTRICT", " ").split()))


def _defined(path: Path) -> dict[str, tuple[str, str]]:
    return {m[1]: (_normal(m[2]), _normal(m[3])) for m in _KERNEL.finditer(path.read_text(encoding="utf-8"))}


def _code(path: Path) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("kernel", [k for k in all_kernels() if k.source.endswith(".cu")], ids=lambda k: k.name)
def test_c_parameters_are_those_of_the_signature(kernel) -> None:
    parameters, arguments = _defined(source_directory() / kernel.source)[kernel.name]
    assert parameters == kernel.c_parameters
    assert arguments.split(", ") == [p.split()[-1] for p in parameters.split(", ")]


@pytest.mark.parametrize("kernel", [k for k in all_kernels() if k.source.endswith(".cu")], ids=lambda k: k.name)
def test_threads_of_a_block_are_those_of_the_signature(kernel) -> None:
    first = re.search(r"^#define TILE_THREADS (\d+)$", inlined_source(kernel.source), re.MULTILINE)
    assert first is not None
    assert int(first[1]) == kernel.threads


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_every_kernel_of_a_source_has_a_signature(path: Path) -> None:
    declared = [k.name for k in all_kernels() if k.source == path.name]
    assert sorted(_defined(path)) == sorted(declared)
    assert len(re.findall(r"^KERNEL\(", path.read_text(encoding="utf-8"), re.MULTILINE)) == len(declared)


def test_kernel_names_are_distinct() -> None:
    names = [k.name for k in all_kernels()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_sources_keep_to_the_dialect(path: Path) -> None:
    code = _code(path)
    assert not re.search(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b", code, re.MULTILINE), (
        "conditional compilation"
    )
    assert not re.search(r"^\s*#\s*include\s*<", code, re.MULTILINE), "standard header"
    assert not re.search(r"\b(threadIdx|blockIdx|blockDim|__shared__|__syncthreads|omp)\b", code), "one machine"
    assert not re.search(r"(?<![\w.])\d+\s*/\s*\d+(?![\w.])", code), "integer division of literals"
    assert not re.search(r"(?<![\w.])(\d+\.\d*|\.\d+)(e[+-]?\d+)?(?![\w.])", code), "double literal"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_inlined_source_includes_nothing(path: Path) -> None:
    text = inlined_source(path.name)
    assert not re.search(r'^\s*#include\s+"', text, re.MULTILINE)
    assert text.count("typedef long long Index;") == 1
