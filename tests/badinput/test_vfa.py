"""Series with several flip angles that cannot be used: one line, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.vfa import VfaSettings
from tests.badinput.checking import check
from tests.modalities.vfa.making import GRID, brain, write, write_map

MOVED = Grid(GRID.shape, np.diag([2.5, 2.5, 3.3, 1.0]), 3.0)


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(2))


def equal_angles(folder, _):
    return write(folder, brain(np.random.default_rng(3), VfaSettings((20.0, 20.0), (0.02, 0.03), (0.004,))))


def one_angle(folder, made):
    return write(folder, made)[:2]


def no_repetition_time(folder, made):
    return write(folder, made, RepetitionTimeExcitation=None)


def milliseconds(folder, made):
    return write(folder, made, RepetitionTimeExcitation=28.0)


def copied(folder, made):
    images = write(folder, made)
    images[-1].write_bytes(images[0].read_bytes())
    return images


def no_angle(folder, made):
    return write(folder, made, FlipAngle=None)


def other_grid(folder, made):
    paths = write(folder, made)
    write_map(paths[2], made.series.signal[..., 2], MOVED)
    return paths


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (equal_angles, ("FlipAngle", "20 degrees", "two or more different")),
        (one_angle, ("FlipAngle", "3 degrees", "two or more different")),
        (no_repetition_time, ("RepetitionTimeExcitation", "not found", "--repetition-times")),
        (milliseconds, ("RepetitionTime", "milliseconds, use 0.028")),
        (no_angle, ("FlipAngle", "not found", "--flip-angles")),
        (other_grid, ("affine",)),
        (copied, ("have the same values in every voxel",)),
    ],
)
def test_a_series_that_cannot_be_used_is_refused_in_one_line(tmp_path, capsys, made, spoil, words):
    images = spoil(tmp_path / "raw", made)
    mask, out = write_map(tmp_path / "mask.nii.gz", made.mask), tmp_path / "out"
    argv = ["vfa", "--magnitude", *map(str, images), "--mask", str(mask), "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, 3, "vfa_", *words)


@pytest.mark.parametrize(
    ("factor", "grid", "units", "words"),
    [
        (1.0, MOVED, None, ("affine",)),
        (10.0, GRID, None, ("b1", "about 1 (ratio to nominal) or 100 (percent)")),
        (100.0, GRID, "ratio", ("Units", "about 1 as a ratio")),
        (1.0, GRID, "percent", ("Units", "about 100 in percent")),
    ],
)
def test_a_b1_map_that_does_not_fit_is_refused_in_one_line(tmp_path, capsys, made, factor, grid, units, words):
    images = write(tmp_path / "raw", made)
    b1 = write_map(tmp_path / "b1.nii.gz", factor * made.b1, grid)
    if units is not None:
        (tmp_path / "b1.json").write_text(f'{{"Units": "{units}"}}')
    mask, out = write_map(tmp_path / "mask.nii.gz", made.mask), tmp_path / "out"
    argv = ["vfa", "--magnitude", *map(str, images), "--mask", str(mask), "--b1", str(b1), "--out", str(out)]
    check([*argv, "--device", "cpu"], out, capsys, 3, "b1", *words)


@pytest.mark.parametrize(
    ("option", "values", "code", "word"),
    [
        ("--flip-angles", ["3", "20"], 3, "2 values for 4 images"),
        ("--flip-angles", ["200"], 2, "--flip-angles"),
        ("--repetition-times", ["28"], 2, "--repetition-times"),
        ("--echo-times", ["0.004", "0.012"], 3, "2 values for 4 volumes"),
        ("--method", ["lineal"], 2, "linear"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(tmp_path, capsys, made, option, values, code, word):
    images, out = write(tmp_path / "raw", made), tmp_path / "out"
    argv = ["vfa", "--magnitude", *map(str, images), option, *values, "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, code, word)
