"""Bad input through the real command: one line, the right exit code, nothing written."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from qsmengine.backend.device import cuda_devices
from qsmengine.cli.main import main
from qsmengine.io.nifti import read_image, write_image
from tests.sessions import make_ball, qsm_arguments, write_ball, write_dwi


@pytest.fixture
def files(tmp_path):
    return write_ball(tmp_path / "in", make_ball(20))


@pytest.fixture
def dwi(tmp_path):
    return write_dwi(tmp_path / "in")[0]


def sidecar(path):
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def edit(path, **changes):
    values = {**json.loads(sidecar(path).read_text()), **changes}
    sidecar(path).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def check(argv, out, capsys, code, *words):
    """The command fails with `code` and one line that holds `words`; `out` and its surroundings stay clean."""
    before = sorted(out.parent.rglob("*"))
    assert main(argv) == code
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, captured.err
    assert captured.err.rstrip().endswith(errors[0]), "nothing follows the error"
    assert "Traceback" not in captured.err
    for word in words:
        assert word in errors[0]
    assert sorted(out.parent.rglob("*")) == before


def no_echo_time(files):
    for path in (*files["mag"], *files["phase"]):
        edit(path, EchoTime=None)
    return 3, (files["mag"][0].name, "EchoTime", "not found")


def no_field_strength(files):
    for path in (*files["mag"], *files["phase"]):
        edit(path, MagneticFieldStrength=None)
    return 3, (files["mag"][0].name, "MagneticFieldStrength", "not found")


def no_sidecars(files):
    for path in (*files["mag"], *files["phase"]):
        sidecar(path).unlink()
    return 3, ("EchoTime", "not found")


def milliseconds(files):
    for index, path in enumerate((*files["mag"], *files["phase"])):
        edit(path, EchoTime=4.0 + 5 * (index % 3))
    return 3, ("EchoTime", "milliseconds")


def equal_echo_times(files):
    for path in (*files["mag"], *files["phase"]):
        edit(path, EchoTime=0.004)
    return 3, ("EchoTime",)


def damaged_sidecar(files):
    sidecar(files["mag"][1]).write_text('{"EchoTime": 0.004,}')
    return 3, (sidecar(files["mag"][1]).name, "line 1 column")


def other_shape(files):
    image = read_image(files["phase"][1])
    write_image(files["phase"][1], image.array[:-1], image.grid.replace(shape=(35, 34, 32)))
    return 3, (files["phase"][1].name, "(35, 34, 32)", "(36, 34, 32)")


def other_place(files):
    image = read_image(files["phase"][1])
    affine = image.grid.affine.copy()
    affine[0, 3] += 1.0
    write_image(files["phase"][1], image.array, image.grid.replace(affine=affine))
    return 3, (files["phase"][1].name, "affine")


def truncated(files):
    data = files["mag"][2].read_bytes()
    files["mag"][2].write_bytes(data[: len(data) // 2])
    return 3, (files["mag"][2].name, "truncated")


def damaged_gzip(files):
    data = bytearray(files["mag"][2].read_bytes())
    data[-6] ^= 0xFF
    files["mag"][2].write_bytes(bytes(data))
    return 3, (files["mag"][2].name,)


def not_an_image(files):
    files["mag"][0].write_bytes(gzip.compress(b"hello" * 200))
    return 3, (files["mag"][0].name,)


def empty_file(files):
    files["mag"][0].write_bytes(b"")
    return 3, (files["mag"][0].name,)


def missing_file(files):
    files["mag"][0].unlink()
    return 3, (files["mag"][0].name, "no such file")


def many_nan(files):
    image = read_image(files["mag"][0])
    array = image.array.copy()
    array[:12] = np.nan
    write_image(files["mag"][0], array, image.grid)
    return 3, (files["mag"][0].name, "NaN")


def no_signal(files):
    image = read_image(files["mag"][0])
    write_image(files["mag"][0], image.array * 0, image.grid)
    return 3, ("no signal",)


def constant_phase(files):
    image = read_image(files["phase"][0])
    write_image(files["phase"][0], image.array * 0, image.grid)
    return 3, ("phase",)


def echo_missing(files):
    files["phase"].pop()
    return 3, ("volumes",)


@pytest.mark.parametrize(
    "spoil",
    [
        no_echo_time, no_field_strength, no_sidecars, milliseconds, equal_echo_times, damaged_sidecar,
        other_shape, other_place, truncated, damaged_gzip, not_an_image, empty_file, missing_file, many_nan, no_signal,
        constant_phase, echo_missing,
    ],
)  # fmt: skip
def test_bad_series_is_refused(spoil, files, tmp_path, capsys):
    code, words = spoil(files)
    check(qsm_arguments(files, tmp_path / "out"), tmp_path / "out", capsys, code, *words)


def test_few_nan_are_mended_and_noted(files, tmp_path, capsys):
    image = read_image(files["mag"][0])
    array = image.array.copy()
    array[0, 0, :5] = np.nan
    write_image(files["mag"][0], array, image.grid)
    assert main(qsm_arguments(files, tmp_path / "out", "--set", "background.max_radius=4")) == 0
    assert "note: " in capsys.readouterr().err
    chi = read_image(tmp_path / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").array
    assert np.isfinite(chi).all()


@pytest.mark.parametrize("kind", ["empty", "shape", "place", "missing"])
def test_bad_mask_is_refused(kind, files, tmp_path, capsys):
    image = read_image(files["mag"][0])
    path, array, grid = tmp_path / "mask.nii.gz", np.ones(image.grid.shape, np.uint8), image.grid
    affine = grid.affine.copy()
    affine[2, 3] += 2.0
    spoilt = {
        "empty": (array * 0, grid),
        "shape": (array[1:], grid.replace(shape=(35, 34, 32))),
        "place": (array, grid.replace(affine=affine)),
    }
    if kind != "missing":
        write_image(path, *spoilt[kind])
    words = {"empty": "empty mask", "shape": "(35, 34, 32)", "place": "affine", "missing": "no such file"}
    argv = qsm_arguments(files, tmp_path / "out", "--mask", str(path))
    check(argv, tmp_path / "out", capsys, 3, "mask.nii.gz", words[kind])


def test_mask_too_small_for_the_spheres_is_refused(files, tmp_path, capsys):
    image = read_image(files["mag"][0])
    mask = np.zeros(image.grid.shape, np.uint8)
    mask[18, 17, 16] = 1
    write_image(tmp_path / "mask.nii.gz", mask, image.grid)
    argv = qsm_arguments(files, tmp_path / "out", "--mask", str(tmp_path / "mask.nii.gz"))
    check(argv, tmp_path / "out", capsys, 3, "mask")


def one_b_value_short(dwi):
    path = dwi.with_name("sub-01_dwi.bval")
    path.write_text(" ".join(path.read_text().split()[:-1]))
    return 3, ("13 volumes", "12 b-values", "13 directions")


def one_direction_short(dwi):
    path = dwi.with_name("sub-01_dwi.bvec")
    np.savetxt(path, np.loadtxt(path)[:, :-1])
    return 3, ("13 volumes", "13 b-values", "12 directions")


def no_table(dwi):
    dwi.with_name("sub-01_dwi.bval").unlink()
    return 3, ("sub-01_dwi.bval", "not found")


def empty_table(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text("")
    return 3, ("sub-01_dwi.bval",)


def words_in_table(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text("0 1000 thousand")
    return 3, ("sub-01_dwi.bval",)


def no_b0(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text(" ".join(["1000"] * 13))
    return 3, ("sub-01_dwi.bvec",)


def only_b0(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text(" ".join(["0"] * 13))
    return 3, ("diffusion-weighted",)


def few_directions(dwi):
    table = np.loadtxt(dwi.with_name("sub-01_dwi.bvec"))
    table[:, 1:] = table[:, 1:2]
    np.savetxt(dwi.with_name("sub-01_dwi.bvec"), table)
    return 3, ("tensor",)


def truncated_dwi(dwi):
    data = dwi.read_bytes()
    dwi.write_bytes(data[: len(data) // 2])
    return 3, (dwi.name,)


@pytest.mark.parametrize(
    "spoil",
    [
        one_b_value_short, one_direction_short, no_table, empty_table, words_in_table, no_b0, only_b0,
        few_directions, truncated_dwi,
    ],
)  # fmt: skip
def test_bad_diffusion_is_refused(spoil, dwi, tmp_path, capsys):
    code, words = spoil(dwi)
    argv = ["dti", "--dwi", str(dwi), "--out", str(tmp_path / "out" / "x"), "--device", "cpu"]
    check(argv, tmp_path / "out", capsys, code, *words)


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
    from qsmengine.pipeline import plan

    monkeypatch.setattr(plan, "available_memory", lambda _: 1 << 20)
    check(qsm_arguments(files, tmp_path / "out"), tmp_path / "out", capsys, 4, "needs about", "available")


def test_raw_dataset_is_not_written_into(files, tmp_path, capsys):
    (tmp_path / "in" / "dataset_description.json").write_text('{"DatasetType": "raw"}')
    check(qsm_arguments(files, tmp_path / "in" / "out"), tmp_path / "in" / "out", capsys, 2, "raw dataset")


def test_folder_of_the_inputs_is_not_written_into(files, tmp_path, capsys):
    check(qsm_arguments(files, tmp_path / "in"), tmp_path / "in", capsys, 2, "holds the inputs")


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
        "from qsmengine.cli.main import main\n"
        "from qsmengine.pipeline import derivatives\n"
        "write = derivatives.write_image\n"
        "def once(*a, **k):\n"
        "    write(*a, **k)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "derivatives.write_image = once\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    argv = [
        sys.executable,
        "-c",
        code,
        *qsm_arguments(files, tmp_path / "out", "--set", "background.max_radius=4"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
