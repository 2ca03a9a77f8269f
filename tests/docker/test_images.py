"""The image files: what they copy exists, what they start is a command, no root runs it. Nothing is built."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from qsmengine import __version__
from qsmengine.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FILES = ("cpu.Dockerfile", "cuda.Dockerfile")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def instructions(name):
    """(instruction, arguments) of each line, continuations joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "docker" / name).read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest) for word, rest in lines]


def stages(name):
    """Instructions of each stage."""
    found: list[Any] = []
    for word, rest in instructions(name):
        if word == "FROM":
            found.append([])
        elif found:  # arguments of the base image come before the first stage
            found[-1].append((word, rest))
    return found


def environment(stage):
    text = " ".join(rest for word, rest in stage if word == "ENV")
    return dict(pair.split("=", 1) for pair in text.split())


@pytest.mark.parametrize("name", FILES)
def test_copied_files_exist_and_are_sent_to_the_daemon(name):
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in instructions(name) if word == "COPY" and "--from" not in rest]
    assert copied
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert source in sent, source


@pytest.mark.parametrize("name", FILES)
def test_what_the_build_needs_is_copied(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = {s for word, rest in instructions(name) if word == "COPY" for s in rest.split()[:-1]}
    licences = {path.split("/")[0] for path in project["license-files"]}  # the file, or its folder
    assert {project["readme"], *licences, "CMakeLists.txt", "kernels", "qsmengine"} <= copied


@pytest.mark.parametrize("name", FILES)
def test_entry_point_is_the_bids_app_and_no_root_runs_it(name):
    last = stages(name)[-1]
    assert dict(last)["ENTRYPOINT"] == '["qsmengine-bids"]'
    assert "qsmengine-bids" in SCRIPTS
    users = [rest for word, rest in last if word == "USER"]
    assert users
    assert users[-1].split(":")[0] not in {"root", "0"}


@pytest.mark.parametrize("name", FILES)
def test_only_work_is_written_beside_the_output(name):
    variables = environment(stages(name)[-1])
    for key in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "CUPY_CACHE_DIR"):
        if key in variables or "cuda" in name or key != "CUPY_CACHE_DIR":
            assert variables[key].split("/")[1] == "scratch", key
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"


def test_baked_kernels_are_outside_of_the_writable_folders():
    assert environment(stages("cuda.Dockerfile")[-1])["QSMENGINE_KERNEL_CACHE"] == "/opt/qsmengine/cupy"
    assert "CUPY_CACHE_DIR=/opt/qsmengine/cupy" in (ROOT / "docker" / "bake.sh").read_text()
    assert "QSMENGINE_KERNEL_CACHE=/opt/qsmengine/cupy" in (ROOT / "docker" / "qsmengine.def").read_text()


@pytest.mark.parametrize("name", [*FILES, "qsmengine.def"])
def test_tags_have_this_version(name):
    text = (ROOT / "docker" / name).read_text()
    tags = set(re.findall(r"qsmengine:([\w.]+)-(?:cpu|cuda)", text))
    assert tags == {__version__}
    assert ":latest" not in text


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name):
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(ROOT / "docker" / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_apptainer_definition_starts_commands_that_exist():
    text = (ROOT / "docker" / "qsmengine.def").read_text()
    assert set(re.findall(r"exec (\S+)", text)) <= set(SCRIPTS)
    sections = re.findall(r"^%(\w+)", text, flags=re.MULTILINE)
    assert {"environment", "runscript", "test", "help"} <= set(sections)
    assert "--nv" in text


def test_bake_script_starts_a_command_that_compiles_cupy_s_kernels_too(monkeypatch, capsys):
    (words,) = re.findall(r'"\$image" (doctor[^)]*)\)', (ROOT / "docker" / "bake.sh").read_text())
    called = []
    monkeypatch.setattr("qsmengine.backend.cuda.compile_all", lambda device: called.append(device) or 100)
    monkeypatch.setattr(
        "qsmengine.api.warm_up.warm_up", lambda device, tell: called.append(device) or ["fast", "ols"]
    )
    # Last: a module that is first imported while it is replaced would keep the replacement.
    monkeypatch.setattr("qsmengine.backend.device.resolve_device", lambda name: name)
    assert main(words.strip('"').split()) == 0
    assert called == ["cuda:0", "cuda:0"]
    assert "2 small runs: fast, ols" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_valid_shell(path):
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("name", FILES)
def test_every_stage_starts_from_the_base_that_can_be_chosen(name):
    words = instructions(name)
    assert words[0] == ("ARG", "BASE=python:3.12-slim")
    assert {rest.split()[0] for word, rest in words if word == "FROM"} == {"${BASE}"}


def test_images_differ_in_what_a_gpu_needs_only():
    cpu, cuda = (stages(name) for name in FILES)
    assert cpu[0] == cuda[0]  # the second image takes the first stage from the cache
    added = {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "CUPY_CACHE_DIR", "QSMENGINE_KERNEL_CACHE"}
    assert set(environment(cuda[-1])) - set(environment(cpu[-1])) == added


def test_apptainer_sets_what_the_cuda_image_sets():
    text = (ROOT / "docker" / "qsmengine.def").read_text()
    assert f"From: qsmengine:{__version__}-cuda" in text
    set_here = dict(re.findall(r"(\w+)=(\S+)", text.partition("%environment")[2].partition("%")[0]))
    image = environment(stages("cuda.Dockerfile")[-1])
    assert set_here.pop("QSMENGINE_CONTAINER_TYPE") == "apptainer"
    assert set_here.items() <= image.items()
    # The rest comes with the image: --nv replaces NVIDIA's variables.
    rest = {name for name in image.keys() - set_here.keys() if not name.startswith("NVIDIA_")}
    assert rest == {"PYTHONDONTWRITEBYTECODE", "QSMENGINE_CONTAINER_TYPE"}
    assert "exec " + re.findall(r'"(.*)"', dict(stages("cuda.Dockerfile")[-1])["ENTRYPOINT"])[0] in text


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_image_script_calls_the_builder_with_the_base_and_the_version(builder, tmp_path):
    program = tmp_path / builder
    program.write_text('#!/bin/sh\ncase "$*" in *Size*) echo 1000000000;; *) echo "$@" > "$0.log";; esac\n')
    program.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "BUILDER": builder,
        "BASE": "base:1",
        "CERTS": "/authorities",
    }
    done = subprocess.run(
        [ROOT / "docker" / "image.sh", "cuda"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = (tmp_path / f"{builder}.log").read_text()
    image = f"qsmengine:{__version__}-cuda"
    assert "--file docker/cuda.Dockerfile --build-arg BASE=base:1" in words
    assert f"--tag {image}" in words
    assert done.stdout.startswith(f"{image}: 1000")
    assert " 0 min " in done.stdout
