"""`python -m bench gpu`: on a machine with a GPU, its tests and benchmarks; results under bench/results/.

Needs a source tree on PYTHONPATH with the CPU kernels built (`make kernels`), CuPy and pytest; nothing
of qsmengine has to be installed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

from bench import kernels, stages, tv
from bench.machine import ROOT, gpu_name
from qsmengine.backend.cpu import load_library
from qsmengine.backend.device import resolve_device

BENCHMARKS = {"kernels": kernels.main, "tv": tv.main, "stages": stages.main}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("--skip-tests", action="store_true", help="benchmarks only")
    options = parser.parse_args(argv)
    device = resolve_device("cuda")
    load_library()
    status = 0 if options.skip_tests else _tests()
    name = re.sub(r"[^a-z0-9]+", "-", (gpu_name(device) or "gpu").lower()).strip("-")
    stem = f"{name}-{datetime.now(UTC):%Y%m%d}"
    for benchmark, run in BENCHMARKS.items():
        path = ROOT / "bench" / "results" / f"{stem}-{benchmark}.json"
        print(f"== {benchmark}")
        status = run(["--json", str(path)]) or status
        print(f"-> {path.relative_to(ROOT)}")
    return status


def _tests() -> int:
    """The tests that use a GPU; a missing GPU is a failure here."""
    environment = {**os.environ, "QSMENGINE_REQUIRE_GPU": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "tests", "-k", "cuda or gpu"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
