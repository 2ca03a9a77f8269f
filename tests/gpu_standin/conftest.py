"""Fixtures of the stand-in's own tests."""

from __future__ import annotations

from typing import Any

import pytest

from qsmengine.backend.device import Device


@pytest.fixture
def cupy(gpu: Device) -> Any:
    """The stand-in's module `cupy`."""
    return gpu.xp
