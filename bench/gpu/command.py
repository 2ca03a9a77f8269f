"""`python -m bench gpu`: a short stay on a machine with a GPU, the most important checks first.

Needs a source tree with the CPU kernels built (`make kernels`), CuPy and pytest; nothing of qsmengine has to
be installed. Parts run in order, each in separate processes and with a share of the time; time that a part
does not use goes to the later ones. The result file is written after each part, so an early end costs only
the part that is running. A part that fails is recorded, and the others still run. `--rehearse` runs the same
script on the stand-in for CuPy with tiny sizes: it shows that the script works, and none of its numbers is a
measurement. `--pack` collects what a machine without a network needs in addition to the source tree.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.gpu import pack
from bench.gpu.jobs import DATASET, HEAD
from bench.gpu.parts import PARTS
from bench.gpu.process import stop
from bench.gpu.session import Stay, environment
from bench.gpu.sizes import EARNEST, REHEARSAL
from bench.host_work.command import STANDIN
from bench.machine import ROOT, gpu_name
from qsmengine.backend.cpu import load_library
from qsmengine.backend.device import resolve_device

RESERVE = 10.0
"""Seconds of the time that no part gets: for starts and ends of processes."""


def main(argv: list[str]) -> int:
    options = _options(argv)
    if options.pack is not None:
        return pack.main(options.pack, options.python)
    load_library()
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        device = "cuda" if options.rehearse else str(resolve_device(options.device))
        path = options.json or _result_path(device, options.rehearse, work)
        env = environment(work, [STANDIN] if options.rehearse else [])
        stay = Stay(path, work, device, REHEARSAL if options.rehearse else EARNEST, options.rehearse, env)
        chosen = [part for part in PARTS if not options.part or part.name in options.part]
        _make_beside(stay, HEAD, shape=stay.sizes["head"])
        _make_beside(stay, DATASET, **stay.sizes["cohort"])
        try:
            ok = stay.run(chosen, max(0.0, 60 * options.minutes - RESERVE))
        finally:
            for process in stay.companions.values():
                if process.poll() is None:
                    stop(process)
    print(f"-> {path}")
    return 0 if ok else 1


def _make_beside(stay: Stay, name: str, **options: Any) -> None:
    """Start a process that makes data on the CPU while the first parts use the GPU."""
    log = (stay.work / f"{name}.log").open("w", encoding="utf-8")
    command = stay.job_command(name, **options)
    stay.companions[name] = subprocess.Popen(
        command, cwd=ROOT, env=stay.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    log.close()


def _result_path(device: str, rehearsal: bool, work: Path) -> Path:
    """bench/results/GPU-DATE.json; of a rehearsal a file among its other work."""
    if rehearsal:
        return work / "rehearsal.json"
    name = re.sub(r"[^a-z0-9]+", "-", (gpu_name(resolve_device(device)) or "gpu").lower()).strip("-")
    return ROOT / "bench" / "results" / f"{name}-{datetime.now(UTC):%Y-%m-%d}.json"


def _options(argv: list[str]) -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        prog="python -m bench gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--minutes", type=float, default=12.0, help="time for all parts (%(default)s)")
    arguments.add_argument("--device", default="cuda", help="cuda or cuda:N")
    arguments.add_argument("--part", action="append", choices=[p.name for p in PARTS], help="only this part")
    arguments.add_argument("--json", type=Path, help="result file, in place of bench/results/GPU-DATE.json")
    arguments.add_argument("--work", type=Path, help="folder for logs, caches and data, kept afterwards")
    arguments.add_argument("--rehearse", action="store_true", help="on the stand-in for CuPy; no measurement")
    arguments.add_argument("--pack", type=Path, metavar="DIR", help="collect wheels and the CPU kernels here")
    arguments.add_argument("--python", default="3.12", help="Python of the machine that --pack is for")
    return arguments.parse_args(argv)
