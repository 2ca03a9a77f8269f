"""Test builds of single kernel sources with the system compiler, kept under build/ until something changes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from bench.compiler import compiler, compiler_version
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.sources import source_directory

ROOT = Path(__file__).resolve().parents[2]
BASE = [
    *("-x", "c++", "-std=c++17", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-parameter"),
]
VARIANTS = {
    "fast": ["-O2", "-fopenmp"],
    "threads": ["-O2", "-DTILE_TEST_THREADS", "-pthread"],
    "races": ["-O1", "-g1", "-DTILE_TEST_THREADS", "-pthread", "-fsanitize=thread"],
    "memory": ["-O1", "-g1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"],
}
RUNTIMES = {"races": ("libtsan.so",), "memory": ("libasan.so", "libubsan.so")}
REPORT = "SANITIZER REPORT"


def build(source: Path, variant: str, extra: tuple[str, ...] = ()) -> Path:
    """Shared library of one kernel source in one of VARIANTS."""
    headers = source_directory()
    flags = [*BASE, *VARIANTS[variant], *extra]
    key = hashlib.sha256(" ".join([compiler(), compiler_version(), *flags]).encode())
    for path in [source, *sorted(headers.glob("*.h"))]:
        key.update(path.name.encode() + path.read_bytes())
    folder = ROOT / "build" / "test-kernels"
    library = folder / f"{source.stem}-{variant}-{key.hexdigest()[:16]}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            target = Path(temporary) / "kernel.so"
            command = [compiler(), *flags, f"-I{headers}", str(source), "-o", str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
            target.replace(library)
    return library


def load(source: Path, variant: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(build(source, variant)))


def replay(variant: str, libraries: Mapping[Path, Sequence[Kernel]]) -> str:
    """Run kernels on random inputs in a process with the sanitizer's runtime; returns its report or "".

    Start-up takes longer than most kernels: several libraries may share a process.
    """
    names = {library: [kernel.name for kernel in kernels] for library, kernels in libraries.items()}
    runs = [f"{library}={','.join(listed)}" for library, listed in names.items()]
    command = [sys.executable, "-m", "tests.kernels.replay", *runs]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(_runtime(name) for name in RUNTIMES[variant]),
        "TSAN_OPTIONS": "exitcode=66 halt_on_error=1",
        "ASAN_OPTIONS": "exitcode=66 detect_leaks=0",
        "UBSAN_OPTIONS": "exitcode=66 print_stacktrace=1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONMALLOC": "malloc",
    }
    done = _run(command, environment)
    if "unexpected memory mapping" in done.stderr:
        # kernels with very random addresses leave ThreadSanitizer no room for its shadow
        done = _run(["setarch", "-R", *command], environment)
        if "unexpected memory mapping" in done.stderr or "personality" in done.stderr:
            pytest.skip("ThreadSanitizer cannot run with this machine's address randomisation")
    if done.returncode == 0:
        assert done.stdout.split() == [n for listed in names.values() for n in listed], (
            done.stdout + done.stderr
        )
        return ""
    return f"{REPORT} ({done.returncode})\n{done.stderr[-6000:]}"


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


@cache
def _runtime(name: str) -> str:
    path = subprocess.run(
        [compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"{compiler()} has no {name}")
    return path
