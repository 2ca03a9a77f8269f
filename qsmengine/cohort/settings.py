"""Settings of a cohort run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qsmengine.cohort.ledger.leases import EXPIRY


@dataclass(frozen=True)
class RunSettings:
    """Settings of a cohort run.

    Parameters
    ----------
    workers
        Number of worker processes; 0 runs in this process, None starts one per GPU, or else as many as cores
        and memory allow.
    device, threads
        Device and threads of each worker; threads None divides the cores among the workers.
    memory
        Memory limit of all workers together [bytes]; None for the available memory.
    scheduler
        Address of a running Dask scheduler to join.
    slurm
        Profile for Slurm, see :mod:`qsmengine.cohort.pools.slurm`.
    force
        Repeat steps whose inputs and configuration are unchanged.
    stop_on_first_crash
        Start no more sessions after a failure.
    dashboard
        Serve Dask's dashboard on the loopback interface; by default no HTTP port is open.
    expiry
        Time [s] without a touch after which another process may take over a claim.
    """

    workers: int | None = None
    device: str = "auto"
    threads: int | None = None
    memory: int | None = None
    scheduler: str | None = None
    slurm: Path | None = None
    force: bool = False
    stop_on_first_crash: bool = False
    dashboard: bool = False
    expiry: float = EXPIRY
