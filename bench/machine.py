"""The machine of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine import version
from qsmengine.backend.device import Device, available_threads
from qsmengine.backend.fft import fft_library
from qsmengine.backend.sources import sources_hash

ROOT = Path(__file__).resolve().parents[1]


def describe(device: Device) -> dict[str, Any]:
    """Machine, versions and load, for the head of a result file."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "qsmengine": version.__version__,
        "commit": _commit(),
        "kernels": sources_hash(),
        "cpu": _processor(),
        "processors": available_threads(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "device": str(device),
        "threads": device.threads,
        "gpu": gpu_name(device),
        "fft": fft_library(device),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def gpu_name(device: Device) -> str | None:
    """Name of the GPU, None on a CPU."""
    if device.kind == "cpu":
        return None
    name: bytes = device.xp.cuda.runtime.getDeviceProperties(device.index)["name"]
    return name.decode()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
