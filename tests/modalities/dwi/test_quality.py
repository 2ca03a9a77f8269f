"""Quality measures of diffusion: green where the series is good, red with the cause where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import shift

from qsmengine.backend.device import cpu
from qsmengine.demo_data import demo_path
from qsmengine.io.dwi import load_dwi
from qsmengine.modalities.dwi.account import account_of
from qsmengine.modalities.dwi.quality import MEASURES, DwiEvidence
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.quality import evaluate, judge
from qsmengine.modalities.shifts import largest_translation, translations
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.diffusion.direction_check import check_directions
from qsmengine.stages.diffusion.gradient_check import check_gradients

BY_NAME = {measure.name: measure for measure in MEASURES}


@pytest.fixture(scope="module", params=[0, 1])
def series(request):
    seed = request.param
    return virtual_head(
        subject=1 + seed, voxel_size=(4.0,) * 3, snr=40, seed=seed, modalities=("dwi",), deformation=2.0 * seed
    ).dwi


@pytest.fixture(scope="module")
def siemens():
    return load_dwi(demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz").series


def measured(series):
    """Measures of a fit and of its gradient table."""
    result = run_dti(series, load_config(), cpu(2))
    check = check_gradients(result["v1"], result["fa"], result.grid, mask=result["status"] > 0)
    directions = check_directions(series, result["status"] > 0)
    return evaluate(MEASURES, DwiEvidence(result, series, check, directions, account_of(result, series)))


def lights(values):
    return {name: measure.light(values[name]) for name, measure in BY_NAME.items()}


def test_a_good_series_is_green_and_each_fault_moves_its_measure(series, rng):
    good = measured(series)
    assert judge(MEASURES, good).light == "green", judge(MEASURES, good).reasons
    assert good["snr_b0"] == pytest.approx(40, rel=0.6)
    assert good["translation"] < 0.5
    assert good["axis_ratio"] is None  # drawn fibres do not continue between voxels
    assert good["best_table"] is None

    moved = series.signal.copy()
    for volume in rng.choice(np.arange(3, len(series.b_values)), 5, replace=False):
        moved[..., volume] = shift(moved[..., volume], (0.0, 1.5, 0.0), order=1)
    values = measured(replace(series, signal=moved))
    assert values["translation"] == pytest.approx(6, abs=1)
    assert lights(values)["translation"] == "red"
    assert "motion" in judge(MEASURES, values).reasons[0]

    middle = int(np.median(np.flatnonzero(series.signal[..., 0].sum(axis=(0, 1)) > 0)))
    lost = series.signal.copy()
    for volume in range(3, len(series.b_values), 2):
        lost[:, :, middle + rng.integers(-8, 8, 6), volume] *= 0.4
    values = measured(replace(series, signal=lost))
    assert lights(values)["lost_slices"] == "red"
    assert good["lost_slices"] < 0.3

    typical = np.percentile(series.signal[..., 0], 90)
    noise = rng.normal(0, 0.2 * typical, series.signal.shape).astype("f4")
    values = measured(replace(series, signal=np.abs(series.signal + noise)))
    assert lights(values)["snr_b0"] == "red"
    assert "low signal" in " ".join(judge(MEASURES, values).reasons)


def test_swapped_axes_of_a_real_series_are_red_and_named(siemens):
    given = measured(siemens)
    assert lights(given)["axis_ratio"] == "green"
    assert given["best_table"] == "as given"
    swapped = measured(replace(siemens, b_vectors=siemens.b_vectors[:, [1, 0, 2]]))
    assert lights(swapped)["axis_ratio"] == "red"
    assert "swapped" in " ".join(judge(MEASURES, swapped).reasons)
    assert "y x z" in swapped["best_table"]


def test_eddy_currents_of_a_real_series_shift_volumes_along_the_phase_encoding(siemens):
    volumes = [siemens.signal[..., k] for k in range(1, siemens.signal.shape[3])]
    found = translations(np.median(np.stack(volumes), axis=0), volumes, siemens.grid.voxel_size)
    assert np.abs(found[:, 1]).max() > 2
    assert np.abs(found[:, [0, 2]]).max() < 0.5


@pytest.mark.parametrize("shape", [(40, 36, 30), (31, 33, 29)])
def test_translation_between_volumes_is_found_within_a_tenth_of_a_voxel(shape, rng):
    k = np.meshgrid(
        np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]), indexing="ij"
    )
    spectrum = np.fft.rfftn(rng.standard_normal(shape)) * np.exp(-60 * sum(part**2 for part in k))
    images, true = [], rng.uniform(-3, 3, (4, 3))
    for step in (np.zeros(3), *true):
        turn = np.exp(-2j * np.pi * sum(part * s for part, s in zip(k, step, strict=True)))
        images.append(np.fft.irfftn(spectrum * turn, shape, axes=(0, 1, 2)).astype("f4"))
    size = (2.0, 1.0, 1.5)
    found = translations(images[0], images[1:], size)
    np.testing.assert_allclose(found / size, true, atol=0.1)


def test_few_volumes_and_thin_images_leave_motion_open(rng):
    thin = rng.standard_normal((20, 20, 5, 6))
    assert largest_translation(thin, (1.0, 1.0, 1.0), [np.arange(6)]) is None
    whole = rng.standard_normal((20, 20, 20, 2))
    assert largest_translation(whole, (1.0, 1.0, 1.0), [np.arange(2)]) is None
