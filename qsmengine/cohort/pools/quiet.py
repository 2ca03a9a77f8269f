"""Dask's scheduler and workers without their HTTP servers."""

from __future__ import annotations

from typing import Any

from distributed import LocalCluster, Nanny, Scheduler, SpecCluster, Worker


class QuietScheduler(Scheduler):
    """A scheduler that listens for its workers and clients only."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open no port."""


class QuietWorker(Worker):
    """A worker that listens for the scheduler and other workers only."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open no port."""


class QuietNanny(Nanny):
    """A nanny whose worker is a :class:`QuietWorker`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "worker_class": QuietWorker})


class _QuietSpec(SpecCluster):
    """Mix-in that replaces the scheduler of the cluster class that precedes it."""

    def __init__(self, *, scheduler: dict[str, Any], **options: Any) -> None:
        super().__init__(scheduler={**scheduler, "cls": QuietScheduler}, **options)  # type: ignore[no-untyped-call]


class QuietCluster(LocalCluster, _QuietSpec):
    """A local cluster of :class:`QuietScheduler` and :class:`QuietNanny`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(worker_class=QuietNanny, **options)  # type: ignore[no-untyped-call]
