"""Quality measures of relaxation rates: each moves with the fault that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.modalities.mese import quality as mese_quality
from qsmengine.modalities.mese.run import run_mese
from qsmengine.modalities.quality import evaluate, judge
from qsmengine.modalities.rates import RateEvidence
from qsmengine.modalities.vfa import quality as vfa_quality
from qsmengine.modalities.vfa.run import run_vfa
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.mese.making import brain as mese_brain
from tests.modalities.vfa.making import brain as vfa_brain

CPU, CONFIG = Device("cpu", threads=1), load_config()


def vfa(noise=10.0, b1=1.0, **change):
    """Measures of a brain with several flip angles."""
    made = vfa_brain(np.random.default_rng(1), noise=noise)
    series = replace(made.series, **change)
    found = run_vfa(series, CONFIG, CPU, mask=made.mask, b1=b1 * made.b1)
    return evaluate(vfa_quality.MEASURES, RateEvidence(found))


def mese(noise=30.0, times=1.0, r2star=0.0):
    """Measures of a brain with spin echoes."""
    made = mese_brain(np.random.default_rng(2), noise=noise)
    series = replace(made.series, echo_times=tuple(times * time for time in made.series.echo_times))
    found = run_mese(series, CONFIG, CPU, mask=made.mask, b1=made.b1, r2star=made.r2 + np.float32(r2star))
    return evaluate(mese_quality.MEASURES, RateEvidence(found))


def lights(measures, values):
    return {
        measure.name: measure.light(values[measure.name]) for measure in measures if measure.good is not None
    }


def test_a_good_series_is_green():
    assert judge(vfa_quality.MEASURES, vfa()).light == "green"
    assert judge(mese_quality.MEASURES, mese(r2star=8.0)).light == "green"


def test_noise_raises_the_noise_of_rates():
    assert vfa(noise=40.0)["r1_noise"] == pytest.approx(4 * vfa()["r1_noise"], rel=0.2)
    assert mese(noise=90.0)["r2_noise"] == pytest.approx(3 * mese()["r2_noise"], rel=0.2)


def test_wrong_repetition_times_and_flip_angles_show_in_r1():
    times = tuple(5 * time for time in (0.028,) * 4)
    assert lights(vfa_quality.MEASURES, vfa(repetition_times=times))["r1_median"] != "green"


@pytest.mark.parametrize("flip_angles", [(20.0, 20.0, 3.0, 3.0), (0.0524, 0.0524, 0.349, 0.349)])
def test_exchanged_flip_angles_and_radians_are_refused(flip_angles):
    with pytest.raises(InputError, match=r"R1 .* lies at the limit of its fit, 0\.1"):
        vfa(flip_angles=flip_angles)


def test_reversed_echoes_are_refused():
    with pytest.raises(InputError, match="grows with the echo time"):
        vfa(echo_times=(0.0223, 0.0076, 0.0223, 0.0076))
    made = mese_brain(np.random.default_rng(2), noise=30.0)
    series = replace(made.series, signal=made.series.signal[..., ::-1])
    with pytest.raises(InputError, match="grows with the echo time"):
        run_mese(series, CONFIG, CPU, mask=made.mask)


def test_a_b1_map_of_another_scale_shows_in_its_median():
    assert lights(vfa_quality.MEASURES, vfa(b1=1.35))["b1_median"] == "amber"


def test_motion_between_flip_angles_makes_r1_implausible():
    made = vfa_brain(np.random.default_rng(1), noise=10.0)
    moved = made.series.signal.copy()
    moved[..., 2:] = np.roll(moved[..., 2:], 1, axis=0)
    assert vfa(signal=moved)["r1_implausible"] > vfa()["r1_implausible"] + 5
    moved[..., 2:] = np.roll(moved[..., 2:], 4, axis=0)
    with pytest.raises(InputError, match="head position"):
        vfa(signal=moved)


def test_wrong_echo_times_show_in_r2():
    assert lights(mese_quality.MEASURES, mese(times=3.0))["r2_median"] != "green"


def test_r2star_below_r2_is_counted():
    values = [mese(r2star=shift)["r2prime_clipped"] for shift in (8.0, -3.0)]
    assert values[0] < 5
    assert values[1] > 90
