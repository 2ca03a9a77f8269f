"""Dask clusters for a cohort: one of this machine's, one that runs already, or jobs of Slurm.

A cluster of this machine listens on the loopback interface only. Where the package ``cryptography`` is
installed, its connections also carry TLS with certificates made for the run, which keeps other users of the
machine out. A scheduler that is joined by a ``tls://`` address takes the certificates of Dask's
configuration (``distributed.comm.tls``).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from qsmengine.backend.device import available_threads, cpu, cuda_devices
from qsmengine.backend.memory import available_memory
from qsmengine.cohort.plan.model import CohortPlan
from qsmengine.cohort.pools.dask_pool import DaskPool
from qsmengine.cohort.pools.dask_setup import (
    DASHBOARD,
    LOOPBACK,
    NO_DASHBOARD,
    PRELOAD,
    ClusterWithScratch,
    configure,
    require,
    scratch_folder,
    temporary_security,
)
from qsmengine.cohort.pools.slurm import open_slurm
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options
from qsmengine.errors import DeviceError, UsageError

MEMORY_SHARE = 0.9
"""Part of the memory at hand that workers share."""
PER_PROCESS = 300 << 20
"""Bytes of a worker beside its arrays: interpreter and libraries."""
THREADS = 2
"""Cores of a worker where nothing else is said: methods do not use many cores well, sessions do."""


@dataclass(frozen=True)
class Share:
    """Workers of this machine, and what each has: threads, memory [bytes], GPUs to spread over (0: none)."""

    workers: int
    threads: int
    memory: int | None
    gpus: int = 0


def open_pool(plan: CohortPlan, settings: RunSettings, options: Options) -> tuple[DaskPool, Options]:
    """Workers as the settings name them, and the options that fit them.

    Raises
    ------
    DeviceError
        Without the packages of ``qsmengine[cohort]``, or for a scheduler that does not answer.
    UsageError
        For settings that exclude each other.
    """
    require("distributed")
    if settings.scheduler is not None and settings.slurm is not None:
        raise UsageError("--scheduler and --slurm exclude each other")
    if settings.dashboard:
        require("bokeh")
    configure()
    if settings.scheduler is not None:
        return join_scheduler(plan, settings.scheduler), options.model_copy(update={"memory": settings.memory})
    if settings.slurm is not None:
        return open_slurm(plan, settings.slurm, settings, options)
    share = share_machine(plan, settings)
    threads = {"threads": share.threads, "memory": share.memory, "spread": share.gpus}
    pool = local_pool(plan, share, dashboard=settings.dashboard)
    return pool, options.model_copy(update=threads)


def share_machine(
    plan: CohortPlan, settings: RunSettings, *, cores: int | None = None, memory: int | None = None
) -> Share:
    """Workers for this machine: one a GPU, else as many as cores and memory allow.

    Parameters
    ----------
    plan
        Its largest need of memory counts.
    settings
        What the user wants; wins where it can.
    cores, memory
        Of the machine; asked for where None.

    A session that needs more than there is does not count: it fails alone, or is cut into slabs.
    """
    cores = available_threads() if cores is None else cores
    have = settings.memory or memory or available_memory(cpu(1))
    sessions = max(1, len(plan.runnable))
    gpus = cuda_devices()[0] if settings.device in {"auto", "cuda"} else 0
    if gpus:
        workers = min(settings.workers or gpus, sessions)
        threads = settings.threads or max(1, cores // workers)
        return Share(workers, threads, None if have is None else int(have * MEMORY_SHARE) // workers, gpus)
    most = sessions
    if have is not None:
        budget = int(have * MEMORY_SHARE)
        needs = [session.memory + PER_PROCESS for session in plan.runnable]
        most = budget // max((need for need in needs if need <= budget), default=PER_PROCESS)
    wanted = settings.workers or max(1, cores // (settings.threads or THREADS))
    workers = max(1, min(wanted, most, sessions))
    memory_each = None if have is None else int(have * MEMORY_SHARE) // workers
    return Share(workers, settings.threads or max(1, cores // workers), memory_each)


def local_pool(plan: CohortPlan, share: Share, *, dashboard: bool = False, **pool: Any) -> DaskPool:
    """Start worker processes on this machine, bound to the loopback interface.

    Raises
    ------
    DeviceError
        Where no worker starts.
    """
    distributed = import_module("distributed")
    made = distributed.LocalCluster if dashboard else import_module("qsmengine.cohort.pools.quiet").QuietCluster
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        try:
            cluster = made(
                n_workers=share.workers,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                scheduler_kwargs=DASHBOARD if dashboard else NO_DASHBOARD,
                memory_limit=None,
                security=temporary_security(),
                silence_logs=logging.CRITICAL,
                local_directory=str(scratch),
                preload=[PRELOAD],
            )
        except (RuntimeError, OSError) as error:
            raise DeviceError(f"the worker processes do not start: {error.__cause__ or error}") from error
        client = distributed.Client(cluster, set_as_default=False)
        return DaskPool(
            client, plan, own=ClusterWithScratch(cluster, stack.pop_all()), wanted=share.workers,
            replenish=lambda: _restart_missing(cluster, share.workers), **pool,
        )  # fmt: skip


def _restart_missing(cluster: Any, workers: int) -> None:
    """Start workers again that were killed while they were starting, which their nannies do not restart."""

    async def forget_dead() -> None:
        for name, guardian in list(cluster.workers.items()):
            if not guardian.is_alive():
                with suppress(Exception):
                    await guardian.close(timeout=1)
                cluster.workers.pop(name, None)

    cluster.sync(forget_dead)
    cluster.scale(workers)


def join_scheduler(plan: CohortPlan, address: str, *, timeout: float = 10, **pool: Any) -> DaskPool:
    """Workers of a scheduler that runs already; raises DeviceError where it does not answer in time [s]."""
    try:
        client = import_module("distributed").Client(address, set_as_default=False, timeout=timeout)
    except (OSError, ValueError, TypeError) as error:
        raise DeviceError(f"no scheduler at {address}: {error}") from error
    return DaskPool(client, plan, **pool)
