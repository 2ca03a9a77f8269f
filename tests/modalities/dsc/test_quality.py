"""Quality measures of bolus series: green where the series is good, red with the cause where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import shift

from qsmengine.backend.device import cpu
from qsmengine.modalities.dsc.quality import MEASURES, DscEvidence
from qsmengine.modalities.dsc.run import run_dsc
from qsmengine.modalities.quality import evaluate, judge
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.dsc.making import brain

BY_NAME = {measure.name: measure for measure in MEASURES}


def measured(made, **given):
    config = load_config(settings=["deconvolution=csvd", "leakage=none"])
    result = run_dsc(made.series, config, cpu(2), mask=made.mask, aif_mask=made.artery, **given)
    return evaluate(MEASURES, DscEvidence(result, made.series))


def red(values):
    return {name for name, measure in BY_NAME.items() if measure.light(values[name]) == "red"}


def test_a_good_series_is_green(made):
    values = measured(made)
    assert judge(MEASURES, values).light == "green", judge(MEASURES, values).reasons
    assert values["aif_voxels"] == made.artery.sum()
    assert values["translation"] < 0.3


def test_frames_that_move_are_red(made, rng):
    signal = made.series.signals[0].copy()
    start = int(rng.integers(10, 20))
    for frame in range(start, start + 6):
        signal[..., frame] = shift(signal[..., frame], (0.0, 2.0, 0.0), order=1)
    values = measured(made._replace(series=replace(made.series, signals=(signal,))))
    assert values["translation"] == pytest.approx(5, abs=1)
    assert "translation" in red(values)
    assert any("motion" in reason for reason in judge(MEASURES, values).reasons)


def test_a_bolus_lost_in_noise_is_red(made):
    values = measured(brain(np.random.default_rng(3), snr=8.0))
    assert values["bolus_to_noise"] < 0.2 * measured(made)["bolus_to_noise"]
    assert "bolus_to_noise" in red(values)


def test_a_curve_of_tissue_in_place_of_the_artery_is_red(made):
    wrong = made._replace(artery=made.white & (np.indices(made.mask.shape)[2] == 6))
    values = measured(wrong)
    assert {"aif_lead", "aif_brain_share"} & red(values)
    assert values["aif_brain_share"] > 3 * measured(made)["aif_brain_share"]


def test_a_series_that_ends_during_the_passage_is_red(made):
    (signal,) = made.series.signals
    mean = signal[made.mask].mean(axis=0)
    whole = measured(made)["after_bolus"]
    assert whole == pytest.approx((mean.size - 1 - mean.argmin()) * made.series.repetition_time, abs=3)
    last = int(mean.argmin() + round(8.0 / made.series.repetition_time))
    values = measured(made._replace(series=replace(made.series, signals=(signal[..., : last + 1],))))
    assert values["after_bolus"] < 12
    assert "after_bolus" in red(values)
