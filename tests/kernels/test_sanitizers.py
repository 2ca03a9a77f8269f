"""Every kernel under ThreadSanitizer (threaded build) and under AddressSanitizer and UBSan (ordinary build)."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.kernels.broken import OVERRUNNING, RACING
from tests.kernels.variants import REPORT, build, replay

SOURCES = sorted({kernel.source for kernel in all_kernels()})
TILED = [source for source in SOURCES if source.endswith(".cu")]
BROKEN_SOURCE = Path(__file__).with_name("broken.cu")


def _name(kernel: Kernel) -> str:
    return kernel.name


def _report(source: str, variant: str) -> str:
    kernels = [kernel for kernel in all_kernels() if kernel.source == source]
    return replay(build(source_directory() / source, variant), variant, kernels)


@pytest.mark.parametrize("source", TILED)
def test_sanitizer_finds_no_races(source: str) -> None:
    assert _report(source, "races") == ""


@pytest.mark.parametrize("source", SOURCES)
def test_sanitizer_finds_no_memory_or_arithmetic_errors(source: str) -> None:
    assert _report(source, "memory") == ""


@pytest.mark.parametrize("kernel", RACING, ids=_name)
def test_sanitizer_sees_races_of_broken_kernels(kernel: Kernel) -> None:
    report = replay(build(BROKEN_SOURCE, "races"), "races", [kernel])
    assert report.startswith(REPORT)
    assert "data race" in report
    assert f"{kernel.name}_thread" in report


@pytest.mark.parametrize("kernel", OVERRUNNING, ids=_name)
def test_sanitizer_sees_overruns_of_broken_kernels(kernel: Kernel) -> None:
    report = replay(build(BROKEN_SOURCE, "memory"), "memory", [kernel])
    assert report.startswith(REPORT)
    assert "heap-buffer-overflow" in report
