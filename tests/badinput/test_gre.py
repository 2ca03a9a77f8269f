"""Bad gradient-echo series and masks through the real command."""

import gzip
import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.io.nifti import read_image, write_image
from tests.badinput.checking import check
from tests.made_sessions import make_ball, qsm_arguments, write_ball


def sidecar(path):
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def edit(path, **changes):
    values = {**json.loads(sidecar(path).read_text()), **changes}
    sidecar(path).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


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
        other_shape, other_place, truncated, damaged_gzip, not_an_image, empty_file, missing_file, many_nan,
        no_signal, constant_phase, echo_missing,
    ],
)  # fmt: skip
def test_bad_series_is_refused(spoil, files, tmp_path, capsys):
    code, words = spoil(files)
    check(qsm_arguments(files, tmp_path / "out"), tmp_path / "out", capsys, code, *words)


def test_an_echo_lost_in_part_of_the_object_is_refused_whatever_lies_around(tmp_path, capsys):
    ball = make_ball(shape=(60, 60, 60))
    files = write_ball(tmp_path / "in", ball)
    image = read_image(files["mag"][1])
    array = image.array.copy()
    array[:25][ball.mask[:25]] = np.nan
    lost = np.isnan(array).sum()
    assert lost < 0.05 * ball.series.magnitude.size
    assert lost > 0.2 * ball.mask.sum()
    write_image(files["mag"][1], array, image.grid)
    check(qsm_arguments(files, tmp_path / "out"), tmp_path / "out", capsys, 3, files["mag"][1].name, "echo 2")


def test_few_nan_are_mended_and_noted(files, tmp_path, capsys):
    image = read_image(files["mag"][0])
    array = image.array.copy()
    array[0, 0, :5] = np.nan
    write_image(files["mag"][0], array, image.grid)
    assert (
        main(
            qsm_arguments(
                files, tmp_path / "out", "--set", "background=vsharp", "--set", "background.max_radius=4"
            )
        )
        == 0
    )
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
