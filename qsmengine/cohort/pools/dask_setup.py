"""What every Dask cluster of a cohort shares: what its workers load, connections, settings."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from qsmengine.errors import DeviceError

PRELOAD = "qsmengine.cohort.pools.worker"
LOOPBACK = "127.0.0.1"
NO_DASHBOARD = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
"""The scheduler serves its state on a port of the loopback interface in any case, without the dashboard."""


def temporary_security() -> Any:
    """Certificates for one run; None where the package ``cryptography`` is missing."""
    return import_module("distributed").Security.temporary() if find_spec("cryptography") else None


def require(module: str) -> None:
    """Raise DeviceError unless an optional module is installed."""
    if find_spec(module) is None:
        raise DeviceError(f"{module} is not installed: pip install 'qsmengine[cohort]', or give --workers 0")


def configure() -> None:
    """Dask's settings for few long tasks with state on disk; the driver repeats those of lost workers."""
    import dask

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": False,
            "distributed.comm.retry.count": 3,
        }
    )
