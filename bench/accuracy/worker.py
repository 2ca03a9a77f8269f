"""A process that runs chains, so that one that takes too long can be ended."""

from __future__ import annotations

import multiprocessing
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.accuracy.chains import Chain
from bench.accuracy.execute import Executor
from bench.accuracy.heads import load
from qsmengine.backend.device import resolve_device

START_SECONDS = 120.0
"""Allowed beyond the limit for the first chain of a process: imports, reading the head."""


def serve(connection: Connection, device: str) -> None:
    """Run the pairs (path, chain) that arrive and answer each with its record, until nobody listens."""
    executor: tuple[Path, Executor] | None = None
    while True:
        try:
            path, chain = connection.recv()
        except EOFError:  # the study has ended
            return
        try:
            if executor is None or executor[0] != path:
                executor = (path, Executor(load(path), resolve_device(device)))
            begin = time.process_time()
            scores = executor[1].run(chain)
            cpu = time.process_time() - begin
            connection.send({"status": "ok", **scores, "cpu_seconds": cpu, "peak_mib": _peak_mib()})
        except Exception as error:  # noqa: BLE001 - a study records the failure and continues
            connection.send({"status": "failed", "reason": f"{type(error).__name__}: {error}"})


class Worker:
    """Hands chains to a separate process.

    Parameters
    ----------
    device
        Where methods run.
    max_seconds
        After which a chain is given up and its process ended.
    """

    def __init__(self, device: str, max_seconds: float) -> None:
        self.device = device
        self.max_seconds = max_seconds
        self._process: Any = None
        self._connection: Connection | None = None

    def run(self, path: Path, chain: Chain) -> dict[str, Any]:
        """Record of one chain; its status is "ok", "failed" or "skipped"."""
        patience = self.max_seconds
        if self._connection is None:
            self._begin()
            patience += START_SECONDS
        connection = self._connection
        if connection is None:  # pragma: no cover
            raise RuntimeError("the process did not begin")
        connection.send((path, chain))
        try:
            if connection.poll(patience):
                record: dict[str, Any] = connection.recv()
                return record
        except EOFError:
            self.close()
            return {"status": "failed", "reason": "the process died"}
        self.close()
        return {
            "status": "skipped",
            "reason": f"took longer than {self.max_seconds:g} s",
            "limit": self.max_seconds,
        }

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self.device), daemon=True)
        self._process.start()
        theirs.close()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
