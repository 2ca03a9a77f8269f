"""Bolus series that cannot be used: one line that names the file or the field, and nothing is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.io import write_image
from tests.badinput.checking import check
from tests.modalities.dsc.making import BOLUS, GRID, Brain, brain, write, write_mask


def _first(made: Brain, frames: int) -> Brain:
    series = replace(made.series, signals=tuple(signal[..., :frames] for signal in made.series.signals))
    return made._replace(series=series)


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(11))


def flat(folder, made):
    still = (np.repeat(made.series.signals[0][..., :1], 40, axis=3),)
    return write(folder, made._replace(series=replace(made.series, signals=still)))


def three_dimensions(folder, made):
    paths = write(folder, made)
    write_image(paths[0], made.series.signals[0][..., 0], GRID)
    return paths


def few_frames(folder, made):
    return write(folder, _first(made, 15))


def no_repetition_time(folder, made):
    return write(folder, made, RepetitionTime=None)


def agent_from_the_start(folder, _):
    return write(folder, brain(np.random.default_rng(3), bolus=replace(BOLUS, arrival=0.0)))


def saturated(folder, _):
    return write(folder, brain(np.random.default_rng(3), bolus=replace(BOLUS, peak=9000.0)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (three_dimensions, ("dim[0]", "three dimensions")),
        (few_frames, ("dim[4]", "15 frames")),
        (flat, ("no bolus",)),
        (no_repetition_time, ("RepetitionTime", "not found", "--tr")),
        (agent_from_the_start, ("baseline",)),
        (saturated, ("saturates",)),
    ],
)
def test_a_series_that_cannot_be_used_is_refused_in_one_line(tmp_path, capsys, made, spoil, words):
    (image,) = spoil(tmp_path / "raw", made)
    mask, out = write_mask(tmp_path / "mask.nii.gz", made.mask), tmp_path / "out"
    argv = ["dsc", "--dsc", str(image), "--mask", str(mask), "--out", str(out), "--device", "cpu"]
    check(argv, out, capsys, 3, "perf.nii.gz", *words)
