"""Devices, memory, folders and interruptions through the real command."""

import os
import subprocess
import sys

import pytest

from qsmengine.backend.device import cuda_devices
from tests.badinput.checking import check
from tests.badinput.test_gre import no_echo_time, truncated
from tests.made_sessions import qsm_arguments


@pytest.mark.skipif(cuda_devices()[0] > 0, reason="this machine has a GPU")
def test_gpu_asked_for_without_one_is_refused(files, tmp_path, capsys):
    argv = qsm_arguments(files, tmp_path / "out")
    argv[argv.index("--device") + 1] = "cuda"
    check(argv, tmp_path / "out", capsys, 4, "device cuda is not usable")


def test_device_that_does_not_exist_is_refused(files, tmp_path, capsys):
    argv = qsm_arguments(files, tmp_path / "out")
    argv[argv.index("--device") + 1] = "gpu"
    check(argv, tmp_path / "out", capsys, 2, "unknown device 'gpu'")


def test_more_memory_than_there_is_is_refused(files, tmp_path, capsys, monkeypatch):
    from qsmengine.pipeline.run import plan

    monkeypatch.setattr(plan, "available_memory", lambda _: 1 << 20)
    check(qsm_arguments(files, tmp_path / "out"), tmp_path / "out", capsys, 4, "needs about", "available")


def test_raw_dataset_is_not_written_into(files, tmp_path, capsys):
    (tmp_path / "in" / "dataset_description.json").write_text('{"DatasetType": "raw"}')
    check(qsm_arguments(files, tmp_path / "in" / "out"), tmp_path / "in" / "out", capsys, 2, "raw dataset")


def test_folder_of_the_inputs_is_not_written_into(files, tmp_path, capsys):
    check(qsm_arguments(files, tmp_path / "in"), tmp_path / "in", capsys, 2, "contains the inputs")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_folder_without_permission_is_one_line(files, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    check(
        qsm_arguments(files, tmp_path / "locked" / "out"), tmp_path / "locked" / "out", capsys, 1, "ermission"
    )


@pytest.mark.parametrize("spoil", [no_echo_time, truncated])
def test_installed_command_exits_with_the_code(spoil, files, tmp_path):
    code, words = spoil(files)
    argv = [sys.executable, "-m", "qsmengine", *qsm_arguments(files, tmp_path / "out")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)
    assert not (tmp_path / "out").exists()


def test_interrupt_exits_130_and_leaves_nothing(files, tmp_path):
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored below a shell's background job
        "from qsmengine.cli.main import main\n"
        "from qsmengine.pipeline.outputs import maps as derivatives\n"
        "write, left = derivatives.write_image, [signal.SIGINT]\n"
        "def once(*a, **k):\n"
        "    write(*a, **k)\n"
        "    if left:\n"
        "        os.kill(os.getpid(), left.pop())\n"
        "derivatives.write_image = once\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    argv = [
        sys.executable,
        "-c",
        code,
        *qsm_arguments(
            files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=4"
        ),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
