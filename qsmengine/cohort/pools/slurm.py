"""Workers as jobs of Slurm, from a profile in YAML.

::

    queue: gpu
    jobs: 8
    cores: 8
    memory: 32GB
    walltime: "04:00:00"
    gpus: 1
    prologue: ["module load cuda", "export PYTHONPATH=/opt/qsmengine"]

One job is one worker. The scheduler runs in the process that was started, which must be reachable from the
nodes: over `interface`, with TLS by certificates made for the run (package ``cryptography``) that lie in the
output folder, readable by the user only.
"""

from __future__ import annotations

import logging
import subprocess
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.plan.model import CohortPlan
from qsmengine.cohort.pools.dask_pool import DaskPool
from qsmengine.cohort.pools.dask_setup import (
    DASHBOARD,
    NO_DASHBOARD,
    PRELOAD,
    ClusterWithScratch,
    require,
    scratch_folder,
    temporary_security,
)
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options
from qsmengine.errors import DeviceError, UsageError
from qsmengine.pipeline.configuration.config import read_settings

SCRATCH = (
    'qsmengine_scratch=$(mktemp -d "${TMPDIR:-/tmp}/qsmengine-worker-XXXXXXXXXX")',
    "trap 'rm -rf \"$qsmengine_scratch\"' EXIT",
)
"""Lines of a job's script that make a private folder for its worker and remove it at the end."""
LOCAL_INTERFACES = frozenset({"lo", "lo0"})


class SlurmProfile(BaseModel):
    """What a job of Slurm asks for; one job is one worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str | None = Field(None, description="partition")
    account: str | None = Field(None, description="account that pays")
    jobs: int = Field(1, ge=1, description="jobs at a time")
    cores: int = Field(4, ge=1, description="CPU cores of a job")
    memory: str = Field("16GB", pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$", description="memory of a job")
    walltime: str = Field("04:00:00", description="time of a job, as sbatch -t takes it")
    gpus: int = Field(0, ge=0, le=1, description="GPUs of a job")
    directives: tuple[str, ...] = Field((), description="more options of sbatch, such as --qos=short")
    prologue: tuple[str, ...] = Field((), description="lines of shell before the worker starts")
    interface: str | None = Field(None, description="network interface that nodes and scheduler share")
    python: str | None = Field(None, description="interpreter on the nodes, else this one")
    tls: bool = Field(True, description="encrypted and authenticated connections")


def load_profile(path: Path) -> SlurmProfile:
    """Read a profile; raises UsageError naming file and key."""
    tree = read_settings(path)
    try:
        return SlurmProfile.model_validate(tree if tree is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "profile"
        known = ", ".join(SlurmProfile.model_fields)
        raise UsageError(f"{path}: {key}: {first['msg']} (known keys: {known})") from None


def open_slurm(
    plan: CohortPlan, file: Path, settings: RunSettings, options: Options
) -> tuple[DaskPool, Options]:
    """Submit the jobs of the profile in `file`; workers join as they start.

    Raises
    ------
    UsageError
        For a profile that cannot be used.
    DeviceError
        Without dask-jobqueue, Slurm's commands, or the package for TLS.
    """
    from shutil import which

    profile = load_profile(file)
    require("dask_jobqueue")
    if which("sbatch") is None:
        raise DeviceError("--slurm: there is no sbatch on this machine")
    pool = slurm_pool(plan, profile, dashboard=settings.dashboard)
    update = {
        "threads": settings.threads or profile.cores,
        "memory": settings.memory,
        "device": settings.device if settings.device != "auto" or profile.gpus else "cpu",
    }
    return pool, options.model_copy(update=update)


def slurm_pool(plan: CohortPlan, profile: SlurmProfile, *, dashboard: bool = False, **pool: Any) -> DaskPool:
    """Return a pool over the jobs of a profile; lost jobs are submitted again."""
    folder = Places(Path(plan.out)).home / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    security = temporary_security() if profile.tls else None
    if profile.tls and security is None and profile.interface not in LOCAL_INTERFACES:
        raise DeviceError(
            "--slurm: connections between nodes need the package cryptography for TLS; install it, "
            "or write 'tls: false' into the profile for a network that nobody else reaches"
        )
    gpu = ("--gres=gpu:1",) if profile.gpus else ()
    quiet = "qsmengine.cohort.pools.quiet"
    scheduler = {} if dashboard else {"scheduler_cls": import_module(quiet).QuietScheduler}
    worker = [] if dashboard else ["--worker-class", f"{quiet}.QuietWorker"]
    scratch = ExitStack()
    scratch.enter_context(scratch_folder())
    cluster = import_module("dask_jobqueue").SLURMCluster(
        queue=profile.queue,
        account=profile.account,
        cores=1,
        processes=1,
        job_cpu=profile.cores,
        memory=profile.memory,
        walltime=profile.walltime,
        job_extra_directives=[*gpu, *profile.directives],
        job_script_prologue=[*profile.prologue, *SCRATCH],
        interface=profile.interface,
        python=profile.python,
        security=security,
        shared_temp_directory=str(folder),
        log_directory=str(folder),
        local_directory='"$qsmengine_scratch"',
        worker_extra_args=["--memory-limit", "0", "--preload", PRELOAD, *worker],
        scheduler_options=DASHBOARD if dashboard else NO_DASHBOARD,
        silence_logs=logging.CRITICAL,
        **scheduler,
    )
    cluster.scale(jobs=profile.jobs)
    client = import_module("distributed").Client(cluster, set_as_default=False)
    return DaskPool(
        client, plan, own=ClusterWithScratch(cluster, scratch),
        replenish=lambda: _submit_again(cluster, profile.jobs), **pool,
    )  # fmt: skip


def _submit_again(cluster: Any, jobs: int) -> None:
    """Replace jobs that Slurm has no more, also those that ended before their worker had come."""
    from shutil import which

    squeue = which("squeue")
    if squeue is None:
        return
    answer = subprocess.run([squeue, "-h", "-o", "%A"], capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        return
    queued = set(answer.stdout.split())

    async def forget_ended() -> None:
        for name, job in list(cluster.workers.items()):
            number = getattr(job, "job_id", None)
            if number and str(number) not in queued:
                cluster.workers.pop(name, None)

    cluster.sync(forget_ended)
    cluster.scale(jobs=jobs)
