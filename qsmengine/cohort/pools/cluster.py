"""Dask clusters for a cohort: on this machine, with an existing scheduler, or as Slurm jobs.

A cluster on this machine listens on the loopback interface only. If the package ``cryptography`` is installed,
its connections also use TLS with certificates made for the run, which keeps out other users of the machine. A
connection to a scheduler at a ``tls://`` address uses the certificates of Dask's configuration
(``distributed.comm.tls``).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
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
"""Fraction of the available memory that the workers share."""
PER_PROCESS = 300 << 20
"""Memory of a worker in addition to its arrays, for interpreter and libraries [bytes]."""
THREADS = 2
"""Default number of cores per worker: parallel sessions use many cores better than one method does."""


@dataclass(frozen=True)
class Share:
    """Workers on this machine, with threads and memory [bytes] of each, and GPUs to spread over (0: none)."""

    workers: int
    threads: int
    memory: int | None
    gpus: int = 0


def open_pool(plan: CohortPlan, settings: RunSettings, options: Options) -> tuple[DaskPool, Options]:
    """Return the pool of workers that the settings describe, and matching options.

    Raises
    ------
    DeviceError
        If the packages of ``qsmengine[cohort]`` are missing, or the scheduler does not answer.
    UsageError
        If settings exclude each other.
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
    """Return the workers for this machine: one per GPU, or else as many as cores and memory allow.

    Parameters
    ----------
    plan
        Its largest memory requirement limits the number of workers.
    settings
        The user's choices, which are followed as far as possible.
    cores, memory
        Cores and memory [bytes] of the machine; determined if None.

    A session that needs more memory than the machine has is ignored here: only that session fails, or it is
    computed in slabs.
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
        If no worker starts.
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
            raise DeviceError(f"cannot start the worker processes: {error.__cause__ or error}") from error
        client = distributed.Client(cluster, set_as_default=False)
        return DaskPool(
            client, plan, own=ClusterWithScratch(cluster, stack.pop_all()), wanted=share.workers,
            replenish=partial(_restart_missing, cluster), leave_out=partial(_leave_out, cluster), **pool,
        )  # fmt: skip


def _restart_missing(cluster: Any, workers: int) -> None:
    """Restart workers that were killed during their start, which their nannies do not do."""

    async def forget_dead() -> None:
        for name, guardian in list(cluster.workers.items()):
            if not guardian.is_alive():
                with suppress(Exception):
                    await guardian.close(timeout=1)
                cluster.workers.pop(name, None)

    cluster.sync(forget_dead)
    cluster.scale(workers)


def _leave_out(cluster: Any, place: str) -> None:
    """End the worker whose nanny has this address, for good."""
    names = [name for name, guardian in cluster.workers.items() if guardian.address == place]
    cluster.sync(cluster.scale_down, names)


def join_scheduler(plan: CohortPlan, address: str, *, timeout: float = 10, **pool: Any) -> DaskPool:
    """Return a pool on an existing scheduler; raises DeviceError if it does not answer within `timeout` [s]."""
    try:
        client = import_module("distributed").Client(address, set_as_default=False, timeout=timeout)
    except (OSError, ValueError, TypeError) as error:
        raise DeviceError(f"no scheduler at {address}: {error}") from error
    return DaskPool(client, plan, **pool)
