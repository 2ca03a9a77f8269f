"""Pack for a machine without a network: wheels, the compiled CPU kernels, a script.

The wheels are those of the project's dependencies and of pytest in the versions installed here, for the
other machine's Python on Linux and a processor as here. NumPy and SciPy, which are there with CuPy, stay out.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import cast

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from qsmengine.backend.cpu import load_library, variants
from qsmengine.backend.sources import library_candidates
from qsmengine.errors import QsmengineError, UsageError

LIMIT = 64 * 2**20
"""Most bytes of a pack."""
ROOTS = ("qsmengine", "pytest", "pytest-xdist", "hypothesis", "pydicom")
"""Imports of the tests and benchmarks on a GPU; their dependencies are added."""
PRESENT = frozenset({"numpy", "scipy", "qsmengine"})
"""Not packed: there with CuPy, or the source tree itself."""
PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_5",
    "manylinux1",
)
SCRIPT = """#!/bin/sh
# Unpacks this pack into the source tree it lies in and runs: python3 -m bench gpu "$@"
set -e
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p build/kernels
cp "$here"/kernels/* build/kernels/
for wheel in "$here"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$here/site"; done
PYTHONPATH="$here/site" exec python3 -m bench gpu "$@"
"""


class PackError(QsmengineError):
    """The pack is too large, or a wheel cannot be had."""

    exit_code = 1


def main(folder: Path, python: str) -> int:
    """Fill `folder` and print its size.

    Raises
    ------
    PackError
        For a pack above the limit.
    UsageError
        For a folder that holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty")
    pins = [f"{name}=={version(name)}" for name in sorted(needed(ROOTS, python))]
    download(pins, folder / "wheels", python)
    copy_kernels(folder / "kernels")
    script = folder / "run.sh"
    script.write_text(SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = check_size(sum(path.stat().st_size for path in files))
    print(f"{folder}: {len(files)} files, {size / 2**20:.1f} MiB ({len(pins)} wheels for Python {python})")
    return 0


def check_size(size: int) -> int:
    """`size` in bytes, where it is within the limit."""
    if size > LIMIT:
        raise PackError(f"the pack has {size / 2**20:.1f} MiB, the limit is {LIMIT / 2**20:.0f} MiB")
    return size


def needed(roots: Iterable[str], python: str) -> set[str]:
    """Installed packages that `roots` need on the other machine, directly or through others."""
    found: set[str] = set()
    waiting = [canonicalize_name(root) for root in roots]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        if name not in PRESENT:
            found.add(name)
        for other in _requirements(name, python):
            if other not in seen and other not in PRESENT:
                seen.add(other)
                waiting.append(other)
    return found


def _requirements(name: str, python: str) -> list[NormalizedName]:
    environment: dict[str, str] = {**cast("dict[str, str]", default_environment()), "extra": ""}
    environment |= {"python_version": python, "python_full_version": f"{python}.0"}
    try:
        lines = requires(name) or []
    except PackageNotFoundError as error:
        raise PackError(f"{name} is not installed here, so its needs are not known") from error
    parsed = [Requirement(line) for line in lines]
    return [canonicalize_name(r.name) for r in parsed if r.marker is None or r.marker.evaluate(environment)]


def download(pins: list[str], folder: Path, python: str) -> None:
    """Fetch a wheel of each package for the other machine's Python."""
    machine = platform.machine()
    platforms = [option for p in PLATFORMS for option in ("--platform", f"{p}_{machine}")]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--implementation", "cp", "--python-version", python, *platforms, "--dest", str(folder), *pins,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackError(f"pip download: {done.stderr.strip()}")


def copy_kernels(folder: Path) -> None:
    """Copy the built CPU libraries, after a check that they belong to these sources."""
    load_library()
    folder.mkdir(parents=True, exist_ok=True)
    built = next(p for v in variants() for p in library_candidates(v) if p.is_file())
    for path in built.parent.glob("libqsmengine_*.so"):
        shutil.copy2(path, folder)
