"""Spin echoes that cannot be used: one line, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from tests.badinput.checking import check
from tests.modalities.mese.making import GRID, brain, write, write_map

MOVED = Grid(GRID.shape, np.diag([2.5, 2.5, 3.3, 1.0]), 3.0)


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip": 1}, ("EchoTime", "not multiples of one spacing", "every echo from the first")),
        ({"skip": 3}, ("EchoTime", "3 spin echoes; 4 or more")),
        ({"factor": 1000.0}, ("EchoTime", "seconds")),
    ],
)
def test_a_train_that_cannot_be_used_is_refused_in_one_line(tmp_path, capsys, made, options, words):
    images, out = write(tmp_path / "raw", made, **options), tmp_path / "out"
    mask = write_map(tmp_path / "mask.nii.gz", made.mask)
    argv = ["mese", "--magnitude", *map(str, images), "--mask", str(mask), "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, 3, "mese_", *words)


@pytest.mark.parametrize(
    ("name", "of", "words"),
    [
        ("a_R2starmap.nii.gz", lambda rate: 1 / rate, ("Units", "below that of water")),
        ("a_R2starmap.nii.gz", lambda rate: 1000 / rate, ("R2* falls where R2 rises",)),
        ("a_R2starmap.nii.gz", lambda rate: 0.3 * rate, ("R2 is not below R2* in 100 %",)),
        ("a_R2starmap.nii.gz", lambda rate: np.flip(rate, 1), ("affine", "mirrored along y")),
        ("a_T2starmap.nii.gz", lambda rate: rate, ("named as a map of times",)),
    ],
)
def test_maps_that_are_not_the_rates_of_the_images_are_refused_in_one_line(
    tmp_path, capsys, made, name, of, words
):
    images, out = write(tmp_path / "raw", made), tmp_path / "out"
    mask = write_map(tmp_path / "mask.nii.gz", made.mask)
    star = write_map(tmp_path / name, np.where(made.mask, of(made.r2 + 6), 0).astype(np.float32))
    argv = [
        "mese",
        "--magnitude",
        *map(str, images),
        "--mask",
        str(mask),
        "--r2star",
        str(star),
        "--device",
        "cpu",
    ]
    check([*argv, "--out", str(out)], out, capsys, 3, name, *words)


@pytest.mark.parametrize(
    ("option", "grid", "factor", "words"),
    [
        ("--b1", MOVED, 1.0, ("affine",)),
        ("--b1", GRID, 10.0, ("about 1 (ratio to nominal) or 100 (percent)",)),
        ("--r2star", MOVED, 1.0, ("affine",)),
    ],
)
def test_a_map_that_does_not_fit_is_refused_in_one_line(tmp_path, capsys, made, option, grid, factor, words):
    images, out = write(tmp_path / "raw", made), tmp_path / "out"
    extra = write_map(tmp_path / "extra.nii.gz", factor * made.b1, grid)
    mask = write_map(tmp_path / "mask.nii.gz", made.mask)
    argv = [
        "mese",
        "--magnitude",
        *map(str, images),
        "--mask",
        str(mask),
        option,
        str(extra),
        "--out",
        str(out),
    ]
    check([*argv, "--device", "cpu"], out, capsys, 3, "extra", *words)


def test_a_mask_of_the_surroundings_is_refused_in_one_line(tmp_path, capsys, made):
    images, out = write(tmp_path / "raw", made), tmp_path / "out"
    mask = write_map(tmp_path / "mask.nii.gz", (made.mask == 0).astype(np.float32))
    argv = ["mese", "--magnitude", *map(str, images), "--mask", str(mask), "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, 3, "mask.nii.gz: inside and outside seem to be exchanged")


def test_an_echo_given_twice_is_refused_in_one_line(tmp_path, capsys, made):
    images, out = write(tmp_path / "raw", made), tmp_path / "out"
    images[2].write_bytes(images[1].read_bytes())
    argv = ["mese", "--magnitude", *map(str, images), "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, 3, images[2].name, "echoes 2 and 3 have the same values")
