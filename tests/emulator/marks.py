"""Marks of the tests that need the emulator, and that share its libraries."""

from __future__ import annotations

from typing import Any

import pytest

from bench.emulator.build import unsupported

needs_emulator = pytest.mark.skipif(unsupported() is not None, reason=str(unsupported()))


def on_one_worker(source: str, *values: Any, name: str) -> Any:
    """Parameters of a test; the tests of one source run in one process, which compiles it once."""
    return pytest.param(*values, id=name, marks=pytest.mark.xdist_group(f"emulator {source}"))
