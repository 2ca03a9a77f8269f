import numpy as np
import pytest

from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.modalities.dsc.run import brain_mask, run_dsc
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.dsc.making import BOLUS, GREY, WHITE, brain

CPU = Device("cpu", threads=2)


@pytest.fixture(scope="module")
def result(made):
    return run_dsc(made.series, load_config(), CPU, mask=made.mask, region=made.white)


def test_blood_volume_and_the_artery_are_found(made, result):
    chosen = result["aif_mask"] > 0
    assert chosen.any()
    assert made.artery[chosen].all()
    for where, tissue in ((made.grey, GREY), (made.white, WHITE)):
        assert result["cbv"][where].mean() == pytest.approx(tissue.cbv, rel=0.06)
    ratio = result["cbf"][made.grey].mean() / result["cbf"][made.white].mean()
    assert 1.7 < ratio < 3.3
    assert result.facts["arrival"] == pytest.approx(BOLUS.arrival, abs=3.1)
    assert result.aif_quality.peak_to_noise > 20


def test_relative_maps_have_mean_one_in_their_region(made, result):
    for name in ("relative_cbv", "relative_cbf"):
        assert result[name][made.white].mean() == pytest.approx(1.0, rel=1e-4)
        assert result.units[name] == "1"
    ratio = result["cbv"][made.grey].mean() / result["cbv"][made.white].mean()
    assert result["relative_cbv"][made.grey].mean() == pytest.approx(ratio, rel=1e-3)


def test_maps_are_finite_and_zero_outside_the_mask(made, result):
    for name in ("cbv", "cbf", "mtt", "tmax", "ttp", "k2", "residual"):
        assert np.isfinite(result[name]).all(), name
        assert (result[name][~made.mask] == 0).all(), name


def test_a_given_curve_replaces_the_automatic_choice(made):
    truth = BOLUS.arterial(made.series.times)
    found = run_dsc(made.series, load_config(), CPU, mask=made.mask, aif=2 * truth)
    np.testing.assert_allclose(found.aif, 2 * truth)
    assert "aif_mask" not in found.maps
    assert "aif" not in {record.step.section for record in found.records}
    assert found["cbv"][made.grey].mean() == pytest.approx(GREY.cbv / 2, rel=0.06)


def test_a_given_artery_replaces_the_automatic_choice(made):
    artery = np.zeros_like(made.mask)
    artery[10:12, 9, 6] = True
    found = run_dsc(made.series, load_config(), CPU, mask=made.mask, aif_mask=artery)
    np.testing.assert_array_equal(found["aif_mask"] > 0, artery)
    assert found.record("aif").step.method.name == "mask"


def test_two_echoes_use_their_ratio_and_leakage_can_be_left_out(rng):
    two = brain(rng, times=(0.012, 0.03))
    config = load_config(settings=["leakage=none"])
    found = run_dsc(two.series, config, CPU, mask=two.mask)
    assert found.record("contrast").step.method.name == "dual_echo"
    assert "k2" not in found.maps
    assert found["cbv"][two.grey].mean() == pytest.approx(GREY.cbv, rel=0.1)


def test_times_of_the_slices_are_taken_out_of_the_time_maps(rng):
    slices = np.where(np.arange(12) % 2, 0.75, 0.0)
    acquired = brain(rng, slices=slices)
    known = run_dsc(acquired.series, load_config(), CPU, mask=acquired.mask)
    white = acquired.white
    early, late = (known["ttp"][white & ((np.arange(12) % 2) == odd)[None, None, :]].mean() for odd in (0, 1))
    assert abs(early - late) < 0.25
    hidden = brain(np.random.default_rng(20250301), slices=slices)
    ignorant = run_dsc(
        hidden.series.__class__(hidden.series.signals, (0.03,), 1.5, hidden.series.grid), load_config(), CPU,
        mask=hidden.mask,
    )  # fmt: skip
    early, late = (
        ignorant["ttp"][white & ((np.arange(12) % 2) == odd)[None, None, :]].mean() for odd in (0, 1)
    )
    assert early - late > 0.5


def test_series_without_a_bolus_an_early_bolus_and_saturation_are_refused(made, rng):
    from dataclasses import replace

    flat = replace(made.series, signals=(np.repeat(made.series.signals[0][..., :1], 50, axis=3),))
    with pytest.raises(InputError, match="no bolus"):
        run_dsc(flat, load_config(), CPU, mask=made.mask)
    early = brain(rng, bolus=BOLUS.__class__(arrival=0.0))
    with pytest.raises(InputError, match=r"baseline|from the start"):
        run_dsc(early.series, load_config(), CPU, mask=early.mask)
    strong = brain(rng, bolus=BOLUS.__class__(arrival=18.0, peak=8000.0))
    with pytest.raises(InputError, match="saturates"):
        run_dsc(strong.series, load_config(), CPU, mask=strong.mask)


def test_a_brain_mask_is_found_or_refused(made, rng):
    mask, note = brain_mask(made.series, CPU)
    overlap = 2 * (mask & made.mask).sum() / (mask.sum() + made.mask.sum())
    assert overlap > 0.85
    assert "frames 5 to 9" in note
    from dataclasses import replace

    noise = rng.uniform(900, 1000, made.series.signals[0].shape).astype(np.float32)
    with pytest.raises(InputError, match=r"no plausible brain mask.*give a brain mask"):
        brain_mask(replace(made.series, signals=(noise,)), CPU)


def test_denoising_comes_after_the_artery_and_brings_the_flow_of_the_model_close_to_the_truth(made, result):
    config = load_config(settings=["denoise=mppca", "deconvolution=exponential", "leakage=none"])
    found = run_dsc(made.series, config, CPU, mask=made.mask)
    assert [record.step.section for record in found.records] == [
        "contrast", "aif", "denoise", "contrast", "deconvolution"
    ]  # fmt: skip
    np.testing.assert_array_equal(found["aif_mask"], result["aif_mask"])
    for where, tissue in ((made.grey, GREY), (made.white, WHITE)):
        assert found["cbf"][where].mean() == pytest.approx(60 * tissue.cbv / tissue.mtt, rel=0.12)


def test_every_device_gives_the_maps_of_the_cpu(made, result, device):
    found = run_dsc(made.series, load_config(), device, mask=made.mask, region=made.white)
    for name in ("cbv", "cbf", "ttp", "k2", "relative_cbv"):
        expected = result[name]
        np.testing.assert_allclose(to_numpy(found[name]), expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_array_equal(to_numpy(found["aif_mask"]), result["aif_mask"])
    mask, _ = brain_mask(made.series, device)
    np.testing.assert_array_equal(to_numpy(mask), brain_mask(made.series, CPU)[0])
