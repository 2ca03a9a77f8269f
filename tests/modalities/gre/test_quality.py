"""Quality measures of susceptibility maps: green on good heads, red with the cause on faulty ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from qsmengine.backend.device import cpu
from qsmengine.grid import Grid
from qsmengine.modalities.gre.quality import MEASURES, GreEvidence, within
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.gre.streaks import streak_score
from qsmengine.modalities.quality import evaluate, judge, near_layers
from qsmengine.phantom.artefacts import Artefacts, with_line_phase
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config

SEEDS = (0, 1)
BY_NAME = {measure.name: measure for measure in MEASURES}


@cache
def head(seed):
    return virtual_head(subject=1 + seed, voxel_size=(3.0,) * 3, snr=80, seed=seed, deformation=2.0 * seed)


def measured(series, *settings, mask=None):
    result = run_qsm(series, load_config(preset="fast", settings=settings), cpu(2), mask=mask)
    return evaluate(MEASURES, GreEvidence(result, within(series, result)))


@cache
def good(seed):
    return measured(head(seed).gre)


def reasons(values, light):
    """Names of the measures with this light."""
    return {name for name, measure in BY_NAME.items() if measure.light(values[name]) == light}


def scaled_echo(series, rng):
    """The phase of one echo in half the unit of the others."""
    phase = series.phase.copy()
    phase[..., rng.integers(1, series.n_echoes)] *= 0.5
    return replace(series, phase=phase)


def moved(series, rng):
    """Breathing of 1.5 rad between the lines of k-space."""
    lines = Artefacts(ghost=1.5).line_phase(series.grid.shape[1], rng)
    signal = series.magnitude * np.exp(1j * series.phase)
    signal = np.stack(
        [with_line_phase(signal[..., e], lines, t) for e, t in enumerate(series.echo_times)], axis=-1
    )
    return replace(series, magnitude=abs(signal).astype("f4"), phase=np.angle(signal).astype("f4"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_head_is_green(seed):
    assert judge(MEASURES, good(seed)).light == "green", judge(MEASURES, good(seed)).reasons


def test_snr_is_that_of_the_white_matter_of_the_head():
    assert good(0)["snr"] == pytest.approx(80, rel=0.35)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_reversed_phase_is_red_and_only_for_its_sign(seed):
    series = head(seed).gre
    values = measured(replace(series, phase=-series.phase))
    assert reasons(values, "red") == {"iron_contrast"}
    assert values["iron_contrast"] == pytest.approx(-good(seed)["iron_contrast"], rel=0.1)
    assert "phase_sign=-1" in judge(MEASURES, values).reasons[0]


@pytest.mark.parametrize(
    ("fault", "named"), [(scaled_echo, "wraps"), (moved, "motion")], ids=["phase of another unit", "breathing"]
)
def test_phase_that_no_field_explains_is_red(fault, named, rng):
    values = measured(fault(head(0).gre, rng))
    assert "field_residual" in reasons(values, "red")
    assert "iron_contrast" not in reasons(values, "red")
    assert values["snr"] < 0.5 * good(0)["snr"]
    assert any(named in reason for reason in judge(MEASURES, values).reasons)


def test_a_mask_that_includes_air_is_red():
    one = head(0)
    mask = binary_dilation(one.mask, iterations=3)
    settings = ("single_step=none", "reliability=none", "background=resharp")
    values, right = (measured(one.gre, *settings, mask=m) for m in (mask, one.mask))
    assert {"field_residual", "rim_ratio"} <= reasons(values, "red")
    assert values["rim_ratio"] > 2 * right["rim_ratio"]
    assert values["mask_volume"] > 1.3 * right["mask_volume"]
    assert not reasons(right, "red")
    assert "mask" in judge(MEASURES, values).reasons[0]


def test_amplified_noise_is_red_for_its_streaks():
    values = measured(head(0).gre, "inversion=tkd", "inversion.threshold=0.01")
    assert reasons(values, "red") == {"streak_score"}
    assert values["streak_score"] > 3 * good(0)["streak_score"]


def test_streak_score_is_one_for_white_noise_and_follows_oblique_b0(rng):
    shape = (40, 36, 30)
    noise = rng.standard_normal(shape).astype("f4")
    spectrum = np.fft.rfftn(noise)
    for b0 in ((0.0, 0.0, 1.0), (0.6, 0.0, 0.8)):
        grid = Grid.from_voxel_size(shape, (1.0, 1.0, 1.5), b0_direction=b0)
        everywhere = np.ones(shape, bool)
        assert streak_score(noise, everywhere, grid) == pytest.approx(1, abs=0.15)
        k = np.meshgrid(np.fft.fftfreq(40), np.fft.fftfreq(36), np.fft.rfftfreq(30, 1.5), indexing="ij")
        along = sum(part * b for part, b in zip(k, b0, strict=True))
        near = abs(1 / 3 - along**2 / np.maximum(sum(part**2 for part in k), 1e-9)) < 0.1
        streaky = np.fft.irfftn(spectrum * np.where(near, 3.0, 1.0), shape, axes=(0, 1, 2)).astype("f4")
        assert streak_score(streaky, everywhere, grid) == pytest.approx(9, rel=0.2)


def test_one_echo_leaves_open_what_it_does_not_decide():
    series = head(0).gre
    one = replace(
        series,
        magnitude=series.magnitude[..., 2:3],
        phase=series.phase[..., 2:3],
        echo_times=series.echo_times[2:3],
    )
    values = measured(one)
    assert values["field_residual"] is None
    assert values["iron_contrast"] is None
    assert values["chi_sd"] > 0


def test_the_rim_is_counted_in_voxels_across_faces():
    mask = np.zeros((9, 9, 9), bool)
    mask[1:8, 1:8, 1:8] = True
    inner = mask & ~near_layers(mask, 3)
    assert np.argwhere(inner).tolist() == [[4, 4, 4]]


def test_the_box_of_the_brain_has_the_values_of_the_whole_image():
    series = head(1).gre
    found = run_qsm(series, load_config(preset="fast"), cpu(2), mask=head(1).mask)
    evidence = GreEvidence(found, within(series, found))
    assert evidence.brain.size < np.prod(series.grid.shape)
    plain = replace(found, maps={name: found[name] for name in found.maps})
    whole = GreEvidence(plain, within(series, plain))
    assert evaluate(MEASURES, evidence) == evaluate(MEASURES, whole)


def test_streaks_are_scored_without_scipy():
    code = (
        "import sys; import numpy as np; from qsmengine.grid import Grid;"
        "from qsmengine.modalities.gre.streaks import streak_score;"
        "noise = np.random.default_rng(3).normal(size=(48, 44, 40)).astype(np.float32);"
        "grid = Grid.from_voxel_size(noise.shape, (1.0, 1.0, 1.0), field_strength=3.0);"
        "assert np.isfinite(streak_score(noise, np.ones(noise.shape, bool), grid));"
        "assert not [m for m in sys.modules if m.startswith('scipy')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
