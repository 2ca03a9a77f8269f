"""The option ``--gpu-standin`` of pytest: run the tests that ask for a GPU on the stand-in for CuPy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "packages"


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
    """Leave out the stand-in's own tests and the whole chains where there is no stand-in."""
    here = path.parent == Path(__file__).parent and path.name.startswith("test_")
    return True if here and config.getoption("--gpu-standin") is None else None


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
