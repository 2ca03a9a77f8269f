"""Every barrier is needed: without it the emulator finds a race."""

from __future__ import annotations

import re
from functools import cache

import pytest

from bench.emulator.cases import CASES_BY_NAME, values_of
from bench.emulator.kernels import EMULATED, emulator_of
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.sources import inlined_source, source_directory
from tests.emulator.marks import needs_emulator, on_one_worker

pytestmark = needs_emulator

CASES = [CASES_BY_NAME[name] for name in ("two tiles a block", "one block", "long rows", "empty tiles")]
"""Tried in turn until a race is found."""
_BARRIER = re.compile(r"\bTILE_SYNC\(\)")


@cache
def _barriers(file: str) -> frozenset[str]:
    """The barriers in a file of ``kernels/``, "file:line"."""
    lines = (source_directory() / file).read_text(encoding="utf-8").splitlines()
    return frozenset(f"{file}:{n}" for n, line in enumerate(lines, 1) if _BARRIER.search(line))


def _included(source: str) -> list[str]:
    """A source and its headers, those that define the dialect left out."""
    names = dict.fromkeys(re.findall(r'^#line \d+ "([^"]+)"', inlined_source(source), re.MULTILINE))
    return [name for name in names if not name.startswith("tile")]


def _kernels(source: str) -> list[Kernel]:
    return [k for k in EMULATED if k.source == source]


@cache
def _reached(source: str) -> frozenset[str]:
    """The barriers that the kernels of a source reach."""
    emulator = emulator_of(source)
    emulator.barriers()
    for kernel in _kernels(source):
        for case in CASES:
            emulator.run(kernel, values_of(kernel, case, seed=12), grid=case.grid)
    return frozenset(emulator.barriers())


def _found_without(barrier: str, source: str) -> bool:
    emulator = emulator_of(source)
    return any(
        emulator.run(kernel, values_of(kernel, case, seed=12), grid=case.grid, without=barrier)
        for kernel in _kernels(source)
        for case in CASES
    )


SOURCES = sorted({k.source for k in EMULATED if any(_barriers(file) for file in _included(k.source))})


@pytest.mark.parametrize("source", [on_one_worker(s, s, name=s) for s in SOURCES])
def test_emulator_finds_the_race_that_a_removed_barrier_leaves(source: str) -> None:
    assert [barrier for barrier in sorted(_reached(source)) if not _found_without(barrier, source)] == []


@pytest.mark.parametrize("source", [on_one_worker(s, s, name=s) for s in SOURCES])
def test_every_barrier_is_reached(source: str) -> None:
    assert _barriers(source) <= _reached(source)


def test_barriers_of_headers_are_reached() -> None:
    headers = {
        file for source in SOURCES for file in _included(source) if file.endswith(".h") and _barriers(file)
    }
    for header in headers:
        assert _barriers(header) <= set().union(*(_reached(s) for s in SOURCES if header in _included(s)))
