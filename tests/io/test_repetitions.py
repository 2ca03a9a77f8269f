"""Repetitions of a gradient-echo series: aligned and averaged, one of them, or all one by one."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.errors import InputError
from qsmengine.io import load_gre
from qsmengine.io.nifti import read_image, write_image
from tests.made_sessions import ECHO_TIMES, make_ball

FAST = ("--preset", "fast", "--set", "inversion=tkd", "--set", "relaxometry=none", "--device", "cpu")
DRIFTS = (0.0, 1.7, -3.1, 6.4)
"""Of the field [Hz]."""


@pytest.fixture(scope="module")
def ball():
    return make_ball(shape=(28, 26, 24))


@pytest.fixture
def write(tmp_path, ball):
    """Writer of repetitions with their drifts [Hz], offsets [rad] and noise; returns arguments of load_gre."""

    def files(drifts, offsets, sigma=0.0, seed=0):
        rng = np.random.default_rng(seed)
        clean = ball.series.magnitude * np.exp(1j * ball.series.phase)
        out: dict[str, Any] = {"magnitude": [], "phase": []}
        for e, time in enumerate(ECHO_TIMES):
            turned = [np.exp(1j * (o + 2 * np.pi * d * time)) for d, o in zip(drifts, offsets, strict=True)]
            signal = np.stack([clean[..., e] * t for t in turned], axis=-1)
            signal = signal + sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
            for part, array in (("magnitude", np.abs(signal)), ("phase", np.angle(signal))):
                path = tmp_path / f"sub-01_echo-{e + 1}_part-{part[:3]}_MEGRE.nii.gz"
                write_image(path, array.astype("f4"), ball.series.grid)
                sidecar = {"EchoTime": time, "MagneticFieldStrength": 3, "Units": "rad"}
                path.with_name(path.name[:-7] + ".json").write_text(json.dumps(sidecar))
                out[part].append(path)
        return out

    return files


def test_noise_free_repetitions_with_drift_average_to_the_first(write, rng, ball):
    files = write(DRIFTS, (0.0, *rng.uniform(-3, 3, 3)))
    loaded = load_gre(**files, repetitions="average")
    np.testing.assert_allclose(loaded.series.magnitude, ball.series.magnitude, rtol=1e-4, atol=1e-3)
    turned = np.angle(np.exp(1j * (loaded.series.phase - ball.series.phase)))
    assert np.abs(turned[ball.mask]).max() < 1e-4
    note = next(note for note in loaded.notes if "averaged" in note)
    assert float(re.search(r"up to ([-+.\d]+) Hz", note)[1]) == pytest.approx(6.4, abs=0.01)


def test_noise_falls_with_the_root_of_the_number(write, ball):
    files = write((0.0,) * 9, (0.0,) * 9, sigma=30.0)

    def deviation(kind):
        series = load_gre(**files, repetitions=kind).series
        signal = series.magnitude * np.exp(1j * series.phase)
        return (signal - ball.series.magnitude * np.exp(1j * ball.series.phase))[ball.mask].std()

    assert deviation(1) / deviation("average") == pytest.approx(3.0, rel=0.02)


def test_one_repetition_is_chosen_by_its_number(write, ball):
    files = write(DRIFTS, (0.0, 0.5, 1.0, 1.5))
    loaded = load_gre(**files, repetitions=3)
    expected = ball.series.phase + 1.0 + 2 * np.pi * DRIFTS[2] * np.array(ECHO_TIMES)
    assert np.abs(np.angle(np.exp(1j * (loaded.series.phase - expected)))[ball.mask]).max() < 1e-4
    assert "repetition 3 of 4 is used" in loaded.notes
    with pytest.raises(InputError, match="number 5 was requested, there are 4"):
        load_gre(**files, repetitions=5)


def test_motion_between_repetitions_is_noted(write, ball):
    files = write((0.0, 0.0), (0.0, 0.0))
    for path in (*files["magnitude"], *files["phase"]):
        image = read_image(path)
        image.array[..., 1] = np.roll(image.array[..., 1], 6, axis=0)
        write_image(path, image.array, image.grid)
    notes = load_gre(**files, repetitions="average").notes
    assert any("repetition 2: coherence with the first is 0." in note for note in notes)


def test_files_without_repetitions_are_refused(write):
    files = write((0.0, 0.0), (0.0, 0.0))
    for part in files:
        image = read_image(files[part][0])
        write_image(files[part][0], image.array[..., 0], image.grid)
    with pytest.raises(InputError, match=r"each with the same number of volumes.* contain 1, 2 volumes"):
        load_gre(**files, repetitions="average")


def test_command_averages_or_runs_each(tmp_path, write, capsys):
    files = write((0.0, 2.5), (0.0, 0.4))
    given = ["-m", *map(str, files["magnitude"]), "-p", *map(str, files["phase"])]
    assert main(["qsm", *given, "-o", str(tmp_path / "no"), *FAST]) == 3
    assert "input.repetitions=average" in capsys.readouterr().err
    for kind in ("average", "each"):
        assert main(["qsm", *given, "-o", str(tmp_path / kind), *FAST, "--repetitions", kind]) == 0
    (chi,) = (tmp_path / "average").rglob("*_Chimap.nii.gz")
    averaged = read_image(chi).array
    found = [next((tmp_path / "each" / f"rep-{r}").rglob("*_Chimap.nii.gz")) for r in (1, 2)]
    for path in found:
        np.testing.assert_allclose(read_image(path).array, averaged, atol=2e-3)
    assert np.abs(averaged).max() > 0.1
