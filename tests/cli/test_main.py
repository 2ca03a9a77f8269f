import json
import subprocess
import sys

import pytest

import qsmengine
from qsmengine.backend.sources import sources_hash
from qsmengine.cli import listing
from qsmengine.cli.commands import doctor
from qsmengine.cli.main import main
from qsmengine.cli.options.multi_value import spread

COMMANDS = (
    "qsm",
    "dti",
    "regions",
    "group",
    "phantom",
    "plan",
    "run",
    "status",
    "evaluate",
    "stage",
    "qsm-ci",
    "demo",
    "doctor",
    "import",
    "export",
)


def test_version_names_kernels_and_cuda(capsys):
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    assert qsmengine.__version__ in out
    assert sources_hash() in out
    assert "CUDA" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"qsmengine {command}" in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f" {command} " in out for command in COMMANDS)


def test_no_arguments_print_help_and_fail_as_usage(capsys):
    assert main([]) == 2
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [["nonsense"], ["qsm"], ["qsm", "--magnitud", "x"], ["dti", "--dwi", "x", "--out", "y", "--threads", "0"]],
)
def test_wrong_usage_is_one_line_and_code_2(argv, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (qsmengine.UsageError("u"), 2, "error: u\n"),
        (qsmengine.InputError("i", source="f", field="x"), 3, "error: f: x: i\n"),
        (qsmengine.DeviceError("d"), 4, "error: d\n"),
        (MemoryError(), 4, "error: out of memory\n"),
        (OSError(28, "No space left on device", "/x"), 1, "error: /x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (ZeroDivisionError("z"), 1, "error: unexpected ZeroDivisionError: z (run with -v for the traceback)\n"),
    ],
)
def test_error_becomes_one_line_and_its_exit_code(monkeypatch, capsys, error, code, text):
    def failing(*args, **kwargs):
        raise error

    monkeypatch.setattr(doctor, "examine", failing)
    assert main(["doctor"]) == code
    assert capsys.readouterr().err == text


def test_traceback_comes_with_v_alone(tmp_path, capsys):
    argv = ["dti", "--dwi", str(tmp_path / "none.nii.gz"), "--out", str(tmp_path / "x")]
    assert main(argv) == 3
    assert "Traceback" not in capsys.readouterr().err
    assert main([*argv, "-v"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_errors_can_be_json_lines(tmp_path, capsys):
    main(["dti", "--dwi", str(tmp_path / "none.nii.gz"), "--out", str(tmp_path / "x"), "--log-json"])
    entry = json.loads(capsys.readouterr().err)
    assert entry["event"] == "error"
    assert "none.nii.gz" in entry["message"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("qsm --phase a b --out c", "qsm --phase a --phase b --out c"),
        ("qsm -m a -p b c d -o e", "qsm -m a -p b -p c -p d -o e"),
        ("phantom --b0-direction 0 -1 2", "phantom --b0-direction 0 --b0-direction -1 --b0-direction 2"),
        ("stage --input a=b c=d inversion", "stage --input a=b --input c=d inversion"),
        ("dti --dwi a -m b", "dti --dwi a -m b"),
        ("qsm --set a=1 b=2 --phase x", "qsm --set a=1 --set b=2 --phase x"),
    ],
)
def test_options_take_several_values(given, expected):
    assert spread(given.split(), listing.COMMANDS) == expected.split()


def test_help_and_package_import_nothing_heavy():
    code = (
        "import sys; from qsmengine.cli.main import main; main(['--help']);"
        "heavy = {'numpy', 'scipy', 'nibabel', 'pandas', 'cupy', 'matplotlib', 'pydantic'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_runs_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "qsmengine", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
