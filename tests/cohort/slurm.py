"""A Slurm of one node for tests: munge, controller and node daemon on the loopback interface."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo")
PATIENCE = 30.0


def missing() -> str:
    """Why no Slurm can be started here; "" where it can."""
    if os.geteuid() != 0:
        return "starting Slurm's daemons needs root"
    search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in DAEMONS if shutil.which(name, path=search) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@contextmanager
def slurm(folder: Path):
    """Start the daemons below `folder`; gives the environment for Slurm's commands."""
    reason = missing()
    if reason:
        pytest.skip(f"Slurm: {reason}")
    host = socket.gethostname().split(".")[0]
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    folder.chmod(0o755)
    munge = _start_munge(folder, environment)
    (folder / "slurm.conf").write_text(_configuration(folder, host))
    started = []
    try:
        for daemon in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            log = (folder / f"{daemon[0]}.out").open("wb")
            started.append(subprocess.Popen(daemon, env=environment, stdout=log, stderr=log))
            log.close()
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        with suppress(subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root"], env=environment, timeout=10, check=False)
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        munge.terminate()
        munge.wait(10)


def _start_munge(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A munge daemon with key and socket of its own, as root."""
    place = folder / "munge"
    place.mkdir(mode=0o755)
    key = place / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    command = [
        "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={place / 'socket'}",
        f"--pid-file={place / 'pid'}", f"--log-file={place / 'log'}", f"--seed-file={place / 'seed'}",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not (place / "socket").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"munged does not start: {(place / 'log').read_text()[-300:]}")
        time.sleep(0.05)
    return process


def _configuration(folder: Path, host: str) -> str:
    ports = [_free_port() for _ in range(2)]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    return "\n".join(
        [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={ports[0]}",
            f"SlurmdPort={ports[1]}",
            "AuthType=auth/munge",
            f"AuthInfo=socket={folder}/munge/socket",
            "CryptoType=crypto/munge",
            "SlurmUser=root",
            "SlurmdUser=root",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core",
            "JobAcctGatherType=jobacct_gather/none",
            "MpiDefault=none",
            "ReturnToService=2",
            "KillWait=2",
            "SchedulerParameters=sched_interval=2",
            f"StateSaveLocation={folder}/state",
            f"SlurmdSpoolDir={folder}/spool",
            f"SlurmctldPidFile={folder}/slurmctld.pid",
            f"SlurmdPidFile={folder}/slurmd.pid",
            f"SlurmctldLogFile={folder}/slurmctld.log",
            f"SlurmdLogFile={folder}/slurmd.log",
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=3000 State=UNKNOWN",
            f"PartitionName=p Nodes={host} Default=YES MaxTime=INFINITE State=UP",
            "",
        ]
    )


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        found = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if found.stdout.strip() == "idle":
            return
        if time.monotonic() > deadline:
            logs = "".join(p.read_text()[-600:] for p in sorted(folder.glob("*.log")))
            pytest.skip(f"Slurm does not start: {found.stdout}{found.stderr}{logs}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
