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
    """Return certificates for one run; None if the package ``cryptography`` is missing."""
    return import_module("distributed").Security.temporary() if find_spec("cryptography") else None


def require(module: str) -> None:
    """Raise DeviceError unless an optional module is installed."""
    if find_spec(module) is None:
        raise DeviceError(f"{module} is not installed: pip install 'qsmengine[cohort]', or use --workers 0")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a private folder that Dask uses for all temporary files while the context is open.

    Dask's default is a single folder with a predictable name for all users of the machine.
    """
    import dask

    with private_folder("workers") as folder, dask.config.set({"temporary-directory": str(folder)}):
        yield folder


class ClusterWithScratch:
    """A cluster with the scratch folder that is removed after it has ended."""

    def __init__(self, cluster: Any, scratch: ExitStack) -> None:
        self.cluster, self._scratch = cluster, scratch

    def close(self, timeout: float) -> None:
        """End the workers within `timeout` [s] and remove their scratch folder."""
        with self._scratch:
            self.cluster.close(timeout=timeout)


def configure() -> None:
    """Configure Dask for few long tasks with state on disk; the driver repeats the tasks of lost workers."""
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
