"""Every kernel under ThreadSanitizer (threaded build) and under AddressSanitizer and UBSan (ordinary build)."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.kernels.broken import OVERRUNNING, RACING
from tests.kernels.variants import REPORT, build, replay

TILED = [k for k in all_kernels() if k.source.endswith(".cu")]
BROKEN_SOURCE = Path(__file__).with_name("broken.cu")


def _name(kernel: Kernel) -> str:
    return kernel.name


@pytest.mark.parametrize("kernel", TILED, ids=_name)
def test_sanitizer_finds_no_races(kernel: Kernel) -> None:
    assert replay(build(source_directory() / kernel.source, "races"), "races", kernel.name) == ""


@pytest.mark.parametrize("kernel", all_kernels(), ids=_name)
def test_sanitizer_finds_no_memory_or_arithmetic_errors(kernel: Kernel) -> None:
    assert replay(build(source_directory() / kernel.source, "memory"), "memory", kernel.name) == ""


@pytest.mark.parametrize("kernel", RACING, ids=_name)
def test_sanitizer_sees_races_of_broken_kernels(kernel: Kernel) -> None:
    report = replay(build(BROKEN_SOURCE, "races"), "races", kernel.name)
    assert report.startswith(REPORT)
    assert "data race" in report
    assert f"{kernel.name}_thread" in report


@pytest.mark.parametrize("kernel", OVERRUNNING, ids=_name)
def test_sanitizer_sees_overruns_of_broken_kernels(kernel: Kernel) -> None:
    report = replay(build(BROKEN_SOURCE, "memory"), "memory", kernel.name)
    assert report.startswith(REPORT)
    assert "heap-buffer-overflow" in report
