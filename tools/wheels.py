"""``python -m tools wheels``: wheels for Linux (manylinux_2_28) on x86-64 and aarch64, without a container.

GCC compiles the kernels, and zig's linker binds them to the symbols that the C library 2.28 has. libgomp
goes into the wheel: the build for manylinux_2_28 that scikit-learn's wheel carries, since that of a newer
distribution needs a newer C library. auditwheel inserts it and checks the tag. Bytes are reproducible: times
in the archive are that of the last commit (SOURCE_DATE_EPOCH), and paths do not enter the code.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from qsmengine.errors import QsmengineError
from tools.markdown import ROOT

MACHINES = ("x86_64", "aarch64")
TAG = "manylinux_2_28"
GOMP_CARRIER = "scikit-learn==1.9.1"
"""The package whose wheels for `TAG` carry a libgomp for each machine."""
WORK = ROOT / "build" / "wheels"
TOOLCHAIN = ROOT / "tools" / "release" / "toolchain.cmake"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools wheels", description=__doc__)
    parser.add_argument("--machine", nargs="+", default=MACHINES, choices=MACHINES)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the build")
    options = parser.parse_args(argv)
    for machine in options.machine:
        if compiler(machine) is None:
            print(
                f"no compiler for {machine}: install g++-{machine.replace('_', '-')}-linux-gnu", file=sys.stderr
            )
            return 4
        start = time.perf_counter()
        wheel = build(machine, options.work / machine, options.out)
        print(f"{wheel}: {wheel.stat().st_size / 1e6:.1f} MB, {(time.perf_counter() - start) / 60:.1f} min")
        print(f"sha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    return 0


def build(machine: str, work: Path, out: Path) -> Path:
    """Return the path of the wheel for `machine`, whose libraries auditwheel has checked."""
    gomp = fetch_gomp(machine, work / "libgomp")
    environment = cross_environment(machine, gomp)
    plain = work / "plain"
    shutil.rmtree(plain, ignore_errors=True)
    _call(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"),
        *("--config-settings", f"build-dir={work / 'cmake'}", "--wheel-dir", str(plain)),
        *("--config-settings", f"cmake.define.CMAKE_TOOLCHAIN_FILE={TOOLCHAIN}", str(ROOT)),
        environment=environment,
    )
    (wheel,) = plain.glob("*.whl")
    repaired = work / "repaired"
    shutil.rmtree(repaired, ignore_errors=True)
    _call(
        *(sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "--only-plat"),
        *("--ldpaths", str(gomp.parent), "--wheel-dir", str(repaired), str(wheel)),
        environment=environment,
    )
    (wheel,) = repaired.glob("*.whl")
    check_tag(wheel.name, machine)
    tag = ("--platform-tag", f"{TAG}_{machine}")
    _call(sys.executable, "-m", "wheel", "tags", "--remove", *tag, str(wheel), environment=environment)
    (wheel,) = repaired.glob("*.whl")
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(wheel, out))


def check_tag(name: str, machine: str) -> None:
    """Check the tag that auditwheel found: the wheel must run wherever `TAG` promises it.

    Raises
    ------
    QsmengineError
        If the wheel needs a newer C library.
    """
    found = re.search(rf"manylinux_(\d+)_(\d+)_{machine}", name)
    if found is None or tuple(map(int, found.groups())) > tuple(map(int, TAG.split("_")[1:])):
        raise QsmengineError(f"{name} does not run on {TAG}_{machine}: its libraries need a newer C library")


def fetch_gomp(machine: str, folder: Path) -> Path:
    """Return the path of ``libgomp.so.1`` for `machine`, fetched into `folder` unless it is there."""
    library = folder / "libgomp.so.1"
    if library.is_file():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    _call(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
        *("--python-version", "3.12", "--platform", f"{TAG}_{machine}", "--dest", str(folder), GOMP_CARRIER),
    )
    (carrier,) = folder.glob("*.whl")
    with zipfile.ZipFile(carrier) as archive:
        (name,) = (n for n in archive.namelist() if Path(n).name.startswith("libgomp"))
        library.write_bytes(archive.read(name))
    carrier.unlink()
    _call("patchelf", "--set-soname", library.name, str(library))
    return library


def cross_environment(machine: str, gomp: Path) -> dict[str, str]:
    """Return the variables that the toolchain file, CMake and the tag of the wheel read."""
    cxx = compiler(machine)
    libraries = [gomp, *(_library(cxx, name) for name in ("libstdc++.so", "libgcc_s.so.1"))]
    return {
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or _time_of_last_commit(),
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "WHEEL_MACHINE": machine,
        "WHEEL_CXX": str(cxx),
        "WHEEL_LINK": f"{sys.executable} -m ziglang cc",
        "WHEEL_GOMP": str(gomp),
        "WHEEL_LIBRARIES": " ".join(map(str, libraries)),
    }


def compiler(machine: str) -> str | None:
    """Return the path of GCC for `machine`; None if it is not installed."""
    found = shutil.which(f"{machine}-linux-gnu-g++")
    return found or (shutil.which("g++") if machine == platform.machine() else None)


def _library(cxx: str | None, name: str) -> Path:
    done = subprocess.run([str(cxx), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).resolve()


def _time_of_last_commit() -> str:
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "315532800"  # the first time that an archive can hold


def _call(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command; the programs installed with this Python come first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path, **(environment or {})})
