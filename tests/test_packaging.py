"""The wheel holds everything the package needs, and works away from the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("one build")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def build(folder: Path) -> Path:
    """The wheel of this source tree; what the source tree has compiled already is not compiled again."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"),
        *("--config-settings", f"build-dir={ROOT / 'build' / 'kernels'}", "--wheel-dir", str(folder)),
        str(ROOT),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": tools, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_one_wheel_serves_every_python_3(wheel: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.startswith("qsmengine-")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_wheel_holds_the_package_its_data_and_the_kernels(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "qsmengine").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and "_kernels" not in p.parts
    }
    kernels = {
        f"qsmengine/_kernels/{p.name}" for p in (ROOT / "kernels").iterdir() if p.suffix in {".cu", ".h"}
    }
    assert package <= names
    assert kernels <= names
    assert any(n.startswith("qsmengine/_kernels/libqsmengine_") and n.endswith(".so") for n in names)
    unexpected = {n for n in names if not n.startswith(("qsmengine/", "qsmengine-"))}
    assert unexpected == set()


def test_wheel_holds_every_licence_and_names_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    named = {line.removeprefix("License-File: ") for line in lines if line.startswith("License-File: ")}
    bundled = {p.relative_to(ROOT).as_posix() for p in (ROOT / "qsmengine").rglob("LICENSE*")}
    assert named == {"LICENSE", *bundled}
    folder = metadata.removesuffix("METADATA") + "licenses/"
    assert {folder + name for name in named} <= set(archive.namelist())


def test_the_same_sources_give_the_same_bytes(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_wheel_computes_away_from_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    paths = [str(tmp_path / "site"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    script = f"""
import sys
sys.path[:0] = {paths}
import numpy as np
import qsmengine
from qsmengine.backend.cpu import load_library
from qsmengine.backend.device import resolve_device
from qsmengine.backend.sources import inlined_source
from qsmengine.ops.dipole import dipole_response
assert "site" in qsmengine.__file__
assert "_kernels" in load_library()[0]._name
assert "KERNEL" in inlined_source("dipole.cu")
print(dipole_response((6, 8, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0), resolve_device("cpu", 1)).sum())
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    float(done.stdout)
