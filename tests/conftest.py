"""Fixtures of the whole suite."""

from __future__ import annotations

import os

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, cuda_devices, resolve_device


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> Device:
    """Every device; the GPU is skipped where there is none, unless QSMENGINE_REQUIRE_GPU=1."""
    if request.param == "cpu":
        return cpu(2)
    count, reason = cuda_devices()
    if count == 0:
        if os.environ.get("QSMENGINE_REQUIRE_GPU") == "1":
            pytest.fail(f"QSMENGINE_REQUIRE_GPU=1, but: {reason}")
        pytest.skip(f"no GPU: {reason}")
    return resolve_device("cuda:0")


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random numbers with a fixed seed."""
    return np.random.default_rng(20260101)
