"""A pytest plugin (`-p bench.gpu.outcomes`): the tests that ask for a GPU, a line of JSON for each, at once.

QSMENGINE_OUTCOMES names the file. With QSMENGINE_BARE_MEMORY=1 CuPy allocates without its pool, so that
compute-sanitizer sees where every array ends.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Leave out CuPy's memory pool where that is asked for; record outcomes in the leading process alone."""
    if not hasattr(config, "workerinput"):  # a worker's reports come again in the leading process
        config.pluginmanager.register(_Outcomes(), "qsmengine-outcomes")
    if os.environ.get("QSMENGINE_BARE_MEMORY") == "1":
        import cupy

        cupy.cuda.set_allocator(None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what uses neither the fixture `gpu` nor `device` for a GPU."""
    chosen = [item for item in items if _asks_for_gpu(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _asks_for_gpu(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    on_cuda = call is not None and call.params.get("device") == "cuda"
    return on_cuda or "gpu" in getattr(item, "fixturenames", ())


class _Outcomes:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the outcome of a test: that of its call, or of a set-up that did not pass."""
        if report.when != "call" and report.passed:
            return
        row = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 4)}
        if not report.passed:
            row["text"] = str(report.longrepr)[-600:]
        with Path(os.environ["QSMENGINE_OUTCOMES"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
