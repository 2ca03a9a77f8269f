"""The stand-in offers nothing that the real package lacks, and the package does not know the stand-in."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import qsmengine

MODULES = (
    "cupy", "cupy.cuda", "cupy.cuda.cufft", "cupy.cuda.memory", "cupy.fft", "cupy.fft.config",
    "cupyx", "cupyx.scipy.fft",
)  # fmt: skip
LOADED_ON_DEMAND = {"cublas", "cusolver", "nvrtc"}
"""Modules that ``dir`` does not show before they are used."""
HELPERS = LOADED_ON_DEMAND | {"annotations", "Any", "np", "memory", "devices", "sys"}


@pytest.mark.parametrize("place", MODULES)
def test_modules_have_only_names_of_the_real_package(place: str, cupy: Any) -> None:
    from standin import api

    names = {n for n in vars(importlib.import_module(place)) if not n.startswith("_")}
    assert names - HELPERS
    assert [n for n in sorted(names - HELPERS) if not api.has(place, n)] == []


def test_the_array_has_only_methods_and_operators_of_the_real_one(cupy: Any) -> None:
    from standin import api

    own = set(dir(cupy.ndarray)) - set(dir(object)) - {"_a", "_device", "_of", "_scalar"}
    python = {"__slots__", "__weakref__", "__annotations__", "__module__", "__doc__", "__firstlineno__"}
    python |= {"__del__"}  # the real array frees its memory in C
    assert [n for n in sorted(own - python) if n not in api.OPERATORS and not api.has("cupy.ndarray", n)] == []


def test_the_stand_in_plays_the_release_that_was_asked_for(cupy: Any, request: pytest.FixtureRequest) -> None:
    assert cupy.__version__.split(".")[0] == request.config.getoption("--gpu-standin")


def test_the_package_does_not_know_the_stand_in(gpu: Any) -> None:
    texts = {p: p.read_text(encoding="utf-8") for p in Path(qsmengine.__file__).parent.rglob("*.py")}
    assert [p.name for p, text in texts.items() if re.search(r"(?i)stand-?in\b|gpu_standin", text)] == []
