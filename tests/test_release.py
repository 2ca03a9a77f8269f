"""What a release consists of has one version, the licences of its data, and the dependencies of the package."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from qsmengine.version import __version__
from tools import wheels

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "tools" / "release" / "conda" / "recipe.yaml").read_text())
CONDA_NAMES = {
    "isal": "python-isal",
    "ismrmrd": "ismrmrd-python",
    "matplotlib": "matplotlib-base",
    "cupy-cuda12x": "cupy",
    "cupy-cuda13x": "cupy",
}
"""Names on PyPI -> names on conda-forge, where they differ."""


def conda(requirement: str) -> str:
    """A requirement of pyproject.toml as the recipe writes it."""
    name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {version}".strip()


def rows() -> list[tuple[str, ...]]:
    """Cells of the tables of docs/bundled-data.md, without their heads."""
    lines = (ROOT / "docs" / "bundled-data.md").read_text().splitlines()
    return [
        tuple(c.strip(" `") for c in line.strip("|").split("|")) for line in lines if line.startswith("| `")
    ]


def licences(expression: str) -> set[str]:
    return set(expression.split(" AND "))


def test_version_is_that_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__
    assert RECIPE["context"]["version"] == __version__
    for path in (ROOT / "docs").rglob("*.md"):
        assert set(re.findall(r"qsmengine:([\d.]+)-c", path.read_text())) <= {__version__}, path


def test_recipe_requires_what_the_package_requires() -> None:
    needed = {"python >=3.11", *map(conda, PROJECT["dependencies"])}
    assert set(RECIPE["requirements"]["run"]) == needed
    assert PROJECT["requires-python"] == ">=3.11"
    built = {*RECIPE["requirements"]["build"][2:4], *RECIPE["requirements"]["host"][2:3]}
    assert built == set(
        map(conda, tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"])
    )


def test_recipe_limits_what_the_extras_need() -> None:
    extras = PROJECT["optional-dependencies"]
    names = extras.keys() - {"dev", "fuzz", "docs", "bench", "all"}
    assert set(RECIPE["requirements"]["run_constraints"]) == {conda(r) for n in names for r in extras[n]}


def test_recipe_starts_the_commands_of_the_package() -> None:
    entries = dict(entry.split(" = ") for entry in RECIPE["build"]["python"]["entry_points"])
    assert entries == PROJECT["scripts"]


def test_recipe_has_the_licences_of_the_package() -> None:
    about = RECIPE["about"]
    assert licences(about["license"]) == licences(PROJECT["license"])
    assert about["summary"] == PROJECT["description"]
    found = {p.relative_to(ROOT).as_posix() for pattern in PROJECT["license-files"] for p in ROOT.glob(pattern)}
    assert set(about["license_file"]) == found


def test_every_bundled_file_has_one_entry() -> None:
    files = [
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "qsmengine").rglob("*")
        if p.is_file() and p.suffix not in {".py", ".pyc", ".so"} and "_kernels" not in p.parts
    ]
    about = [f for f in files if Path(f).name == "README.md" or Path(f).name.startswith("LICENSE")]
    for name in sorted(set(files) - set(about)):
        assert len([row for row in rows() if fnmatch(name, row[0])]) == 1, name
    for pattern, *_ in rows():
        assert any(fnmatch(name, pattern) for name in files), pattern


def test_licence_of_every_entry_is_in_the_package_and_its_metadata() -> None:
    entries = [row for row in rows() if len(row) == 6]
    texts = {path for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}
    assert {ROOT / row[5] for row in entries} == texts - {ROOT / "LICENSE"}
    assert {x for row in entries for x in licences(row[4])} | {"BSD-3-Clause"} == licences(PROJECT["license"])


def test_wheels_are_linked_against_the_c_library_of_their_tag() -> None:
    text = wheels.TOOLCHAIN.read_text()
    assert f"-linux-gnu.{wheels.TAG.removeprefix('manylinux_').replace('_', '.')} " in text
    used = set(re.findall(r"\$ENV\{(\w+)\}", text))
    assert used == {"WHEEL_MACHINE", "WHEEL_CXX", "WHEEL_LINK", "WHEEL_LIBRARIES", "WHEEL_GOMP"}
    images = SETTINGS["tool"]["cibuildwheel"]
    assert {images[f"manylinux-{machine}-image"] for machine in wheels.MACHINES} == {wheels.TAG}


def test_wheel_variables_are_those_of_the_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(wheels, "compiler", lambda machine: "/bin/echo")
    found = wheels.cross_environment("aarch64", Path("/libgomp.so.1"))
    assert set(re.findall(r"\$ENV\{(\w+)\}", wheels.TOOLCHAIN.read_text())) <= set(found)
    assert found["_PYTHON_HOST_PLATFORM"] == "linux-aarch64"
    assert int(found["SOURCE_DATE_EPOCH"]) >= 315532800
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert wheels.cross_environment("x86_64", Path("/g"))["SOURCE_DATE_EPOCH"] == "1700000000"


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert wheels.main(["--machine", "aarch64"]) == 4
    assert "install g++-aarch64-linux-gnu" in capsys.readouterr().err
