"""Workers as Slurm jobs, described by a profile in YAML.

::

    queue: gpu
    jobs: 8
    cores: 8
    memory: 32GB
    walltime: "04:00:00"
    gpus: 1
    prologue: ["module load cuda", "export PYTHONPATH=/opt/qsmengine"]

One job is one worker. The scheduler runs in the process that the user started. The nodes must be able to reach
it over `interface`. Connections use TLS with certificates made for the run (package ``cryptography``); these
lie in the output folder, readable by the user only.
"""

from __future__ import annotations

import logging
import subprocess
from contextlib import ExitStack
from functools import partial
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
"""Lines of a job's script that create a private folder for its worker and remove it at the end."""
LOCAL_INTERFACES = frozenset({"lo", "lo0"})


class SlurmProfile(BaseModel):
    """Resources and options of a Slurm job; one job is one worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str | None = Field(None, description="partition")
    account: str | None = Field(None, description="account to charge")
    jobs: int = Field(1, ge=1, description="number of simultaneous jobs")
    cores: int = Field(4, ge=1, description="CPU cores per job")
    memory: str = Field("16GB", pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$", description="memory per job")
    walltime: str = Field("04:00:00", description="time limit of a job, in the format of sbatch -t")
    gpus: int = Field(0, ge=0, le=1, description="GPUs per job")
    directives: tuple[str, ...] = Field((), description="additional options of sbatch, such as --qos=short")
    prologue: tuple[str, ...] = Field((), description="shell commands to run before the worker starts")
    interface: str | None = Field(None, description="network interface between nodes and scheduler")
    python: str | None = Field(None, description="interpreter on the nodes; by default the current one")
    tls: bool = Field(True, description="encrypted and authenticated connections")


def load_profile(path: Path) -> SlurmProfile:
    """Read a profile; raises UsageError with the file and the key."""
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
        If the profile is invalid.
    DeviceError
        If dask-jobqueue, Slurm's commands or the package for TLS are missing.
    """
    from shutil import which

    profile = load_profile(file)
    require("dask_jobqueue")
    if which("sbatch") is None:
        raise DeviceError("--slurm: sbatch is not available on this machine")
    pool = slurm_pool(plan, profile, dashboard=settings.dashboard)
    update = {
        "threads": settings.threads or profile.cores,
        "memory": settings.memory,
        "device": settings.device if settings.device != "auto" else "cuda" if profile.gpus else "cpu",
    }
    return pool, options.model_copy(update=update)


def slurm_pool(plan: CohortPlan, profile: SlurmProfile, *, dashboard: bool = False, **pool: Any) -> DaskPool:
    """Return a pool of a profile's jobs; lost jobs are submitted again."""
    folder = Places(Path(plan.out)).home / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    security = temporary_security() if profile.tls else None
    if profile.tls and security is None and profile.interface not in LOCAL_INTERFACES:
        raise DeviceError(
            "--slurm: connections between nodes need the package cryptography for TLS; install it, "
            "or set 'tls: false' in the profile on a network that nobody else can reach"
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
        replenish=partial(_submit_again, cluster), spares=profile.jobs, **pool,
    )  # fmt: skip


def _submit_again(cluster: Any, jobs: int) -> None:
    """Replace jobs that have left Slurm, including those that ended before their worker connected."""
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
