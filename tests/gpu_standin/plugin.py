"""The option ``--gpu-standin`` of pytest: run the tests that ask for a GPU on the stand-in for CuPy."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "packages"
FIXTURES = re.compile(r"\b(gpu|device)\b")
"""What a module that asks for a GPU names, unless fixtures of this folder ask for it."""


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu-standin",
        choices=("13", "14"),
        help="run only what asks for a GPU, on the stand-in for this major version of CuPy",
    )


def configure(config: pytest.Config) -> None:
    """Put the stand-in on the path of this process and of those that tests start."""
    release = config.getoption("--gpu-standin")
    if release is None:
        return
    sys.path.insert(0, str(PACKAGES))
    paths = [str(PACKAGES), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    os.environ["GPU_STANDIN_CUPY"] = release
    os.environ["GPU_STANDIN_THREADS"] = "1"
    os.environ["GPU_STANDIN_DEVICES"] = "2"
    os.environ["QSMENGINE_REQUIRE_GPU"] = "1"


def ignores(path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot ask for a GPU, or without the stand-in its tests and the whole chains on it."""
    if not path.name.startswith("test_") or path.suffix != ".py":
        return None
    here = path.parent == Path(__file__).parent
    if config.getoption("--gpu-standin") is None:
        return True if here else None
    return None if here or FIXTURES.search(path.read_text(encoding="utf-8")) else True


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what asks for a GPU; the CPU's half of a test runs in the ordinary suite."""
    if config.getoption("--gpu-standin") is None:
        return
    chosen = [item for item in items if asks_for_gpu(item)]
    config.hook.pytest_deselected(items=[item for item in items if not asks_for_gpu(item)])
    items[:] = chosen


def asks_for_gpu(item: pytest.Item) -> bool:
    """Whether a test uses the fixture `gpu`, or `device` for a GPU."""
    if "gpu" in getattr(item, "fixturenames", ()):
        return True
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("device") == "cuda"
