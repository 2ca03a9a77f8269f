"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

# Before a library of a test loads OpenMP: its threads would spin while those of another process need the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, cuda_devices, resolve_device
from tests.gpu_standin import plugin as gpu_standin


def pytest_addoption(parser: pytest.Parser) -> None:
    gpu_standin.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    gpu_standin.configure(config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return gpu_standin.ignores(collection_path, config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gpu_standin.select(config, items)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> Device:
    """Every device; the GPU is skipped where there is none, unless QSMENGINE_REQUIRE_GPU=1."""
    return cpu(2) if request.param == "cpu" else _gpu()


@pytest.fixture
def gpu() -> Device:
    """The GPU, under the same rule."""
    return _gpu()


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random numbers with a fixed seed."""
    return np.random.default_rng(20260101)


def _gpu() -> Device:
    count, reason = cuda_devices()
    if count == 0:
        if os.environ.get("QSMENGINE_REQUIRE_GPU") == "1":
            pytest.fail(f"QSMENGINE_REQUIRE_GPU=1, but: {reason}")
        pytest.skip(f"no GPU: {reason}")
    return resolve_device("cuda:0")
