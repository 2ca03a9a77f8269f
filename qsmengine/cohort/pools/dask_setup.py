"""Common parts of the cohort's Dask clusters: preloaded module, connections, settings, scratch folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qsmengine.errors import DeviceError
from qsmengine.io.owned import private_folder

PRELOAD = "qsmengine.cohort.pools.worker"
LOOPBACK = "127.0.0.1"
NO_DASHBOARD = {"dashboard": False}
DASHBOARD = {"dashboard": True, "dashboard_address": f"{LOOPBACK}:8787"}


def temporary_security() -> Any:
    """Return certificates for one run; None where the package ``cryptography`` is missing."""
    return import_module("distributed").Security.temporary() if find_spec("cryptography") else None


def require(module: str) -> None:
    """Raise DeviceError unless an optional module is installed."""
    if find_spec(module) is None:
        raise DeviceError(f"{module} is not installed: pip install 'qsmengine[cohort]', or give --workers 0")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a private folder, which Dask uses for everything that is made while the context is open.

    Dask's default is one predictable folder for all users of the machine.
    """
    import dask

    with private_folder("workers") as folder, dask.config.set({"temporary-directory": str(folder)}):
        yield folder


class ClusterWithScratch:
    """A cluster and what is closed after it."""

    def __init__(self, cluster: Any, scratch: ExitStack) -> None:
        self.cluster, self._scratch = cluster, scratch

    def close(self, timeout: float) -> None:
        """End the workers within `timeout` [s] and remove their scratch folder."""
        with self._scratch:
            self.cluster.close(timeout=timeout)


def configure() -> None:
    """Set Dask up for few long tasks with state on disk; the driver repeats those of lost workers."""
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
