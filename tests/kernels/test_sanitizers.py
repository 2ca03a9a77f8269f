"""Every kernel under ThreadSanitizer (threaded build) and under AddressSanitizer and UBSan (ordinary build)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.kernels.broken import OVERRUNNING, RACING
from tests.kernels.variants import REPORT, build, replay

SOURCES = sorted({kernel.source for kernel in all_kernels()})
TILED = [source for source in SOURCES if source.endswith(".cu")]
BATCH = 9
"""Sources whose kernels run in one process."""
BROKEN_SOURCE = Path(__file__).with_name("broken.cu")


def _name(kernel: Kernel) -> str:
    return kernel.name


def _in_batches(sources: Sequence[str]) -> list[Any]:
    """Parameters of a test, each with a few sources that share a process."""
    batches = [sources[i : i + BATCH] for i in range(0, len(sources), BATCH)]
    return [pytest.param(batch, id=f"{batch[0]} to {batch[-1]}") for batch in batches]


def _report(sources: Sequence[str], variant: str) -> str:
    kernels = {s: [kernel for kernel in all_kernels() if kernel.source == s] for s in sources}
    return replay(variant, {build(source_directory() / s, variant): listed for s, listed in kernels.items()})


@pytest.mark.parametrize("sources", _in_batches(TILED))
def test_sanitizer_finds_no_races(sources: Sequence[str]) -> None:
    assert _report(sources, "races") == ""


@pytest.mark.parametrize("sources", _in_batches(SOURCES))
def test_sanitizer_finds_no_memory_or_arithmetic_errors(sources: Sequence[str]) -> None:
    assert _report(sources, "memory") == ""


@pytest.mark.parametrize("kernel", RACING, ids=_name)
def test_sanitizer_sees_races_of_broken_kernels(kernel: Kernel) -> None:
    report = replay("races", {build(BROKEN_SOURCE, "races"): [kernel]})
    assert report.startswith(REPORT)
    assert "data race" in report
    assert f"{kernel.name}_thread" in report


@pytest.mark.parametrize("kernel", OVERRUNNING, ids=_name)
def test_sanitizer_sees_overruns_of_broken_kernels(kernel: Kernel) -> None:
    report = replay("memory", {build(BROKEN_SOURCE, "memory"): [kernel]})
    assert report.startswith(REPORT)
    assert "heap-buffer-overflow" in report
