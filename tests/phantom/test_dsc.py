from dataclasses import replace

import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.anatomy import head_anatomy
from qsmengine.phantom.arteries import artery_share
from qsmengine.phantom.bolus import Bolus
from qsmengine.phantom.dsc import DscSettings, dsc_signal, dsc_truth
from qsmengine.phantom.perfusion import Leakage, Perfusion, perfusion_maps

SETTINGS = DscSettings(frames=40, repetition_time=1.5, bolus=Bolus(arrival=15.0))
LESION = 903
STEADY = slice(6, 10)
"""Frames in the steady state, before the bolus."""


@pytest.fixture(scope="module")
def anatomy():
    return head_anatomy(voxel_size=(4.0, 4.0, 4.0), features=("lesions", "veins"), seed=5)


@pytest.fixture(scope="module")
def artery(anatomy):
    return artery_share(anatomy.head, np.random.default_rng(3))


@pytest.fixture(scope="module")
def made(anatomy, artery):
    """Return a function: settings -> perfusion and series without coil, delayed as the settings say."""

    def make(settings, snr=None, seed=0, **changed):
        perfusion = perfusion_maps(
            anatomy.head, anatomy.fine.m0, anatomy.resampler, artery=artery, rng=np.random.default_rng(1),
            shares=anatomy.shares, delay=settings.delay, leakage=settings.leakage, **changed,
        )  # fmt: skip
        series = dsc_signal(
            perfusion=perfusion, m0=anatomy.tissue.m0, r2star=anatomy.tissue.r2star,
            sensitivity=np.ones(anatomy.mask.shape, np.float32), grid=anatomy.grid, settings=settings, snr=snr,
            reference=anatomy.reference, rng=np.random.default_rng(seed),
        )  # fmt: skip
        return perfusion, series

    return make


@pytest.fixture(scope="module")
def plain(made):
    return made(SETTINGS)


def change(series, echo=0):
    """dR2* (x, y, z, frame) [1/s] from the signal."""
    signal = series.signals[echo].astype(np.float64)
    base = signal[..., STEADY].mean(axis=3, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(base / signal) / series.echo_times[echo]


def away_from_vessels(perfusion, anatomy):
    return anatomy.mask & (perfusion.artery == 0) & (perfusion.vein == 0) & (perfusion.cbv > 0.5)


def test_tissue_follows_its_flow_transit_time_and_delay(plain, anatomy, rng):
    perfusion, series = plain
    found, inside = change(series), np.argwhere(away_from_vessels(perfusion, anatomy))
    for voxel in rng.choice(inside, 20):
        at = series.times - perfusion.delay[tuple(voxel)]
        expected = sum(f[tuple(voxel)] * SETTINGS.bolus.tissue(at, m) for m, f in perfusion.flows.items())
        np.testing.assert_allclose(found[tuple(voxel)][6:], expected[6:], atol=2e-3 * expected.max())


def test_area_of_the_tissue_over_that_of_the_artery_is_the_blood_volume(made, anatomy):
    settings = replace(SETTINGS, bolus=Bolus(arrival=12.0, recirculation=0.0), dummies=12, delay=(0.0, 0.0))
    perfusion, series = made(replace(settings, frames=60, repetition_time=1.0))
    inside = away_from_vessels(perfusion, anatomy)
    ratio = change(series)[inside][:, 6:].sum(axis=1) / settings.bolus.arterial(series.times).sum()
    np.testing.assert_allclose(100 * 0.73 / 1.04 * ratio, perfusion.cbv[inside], rtol=0.02)


def test_truth_is_consistent_and_grey_matter_holds_twice_the_blood_of_white(plain, anatomy):
    perfusion, series = plain
    truth = dsc_truth(perfusion, series.grid)
    cbv, cbf, mtt = (truth[name].array for name in ("cbv", "cbf", "mtt"))
    inside = away_from_vessels(perfusion, anatomy)
    np.testing.assert_allclose(mtt[inside], 60 * cbv[inside] / cbf[inside], rtol=1e-5)
    assert [truth[name].unit for name in ("cbv", "cbf", "mtt")] == ["mL/100 g", "mL/100 g/min", "s"]
    whole = {
        tissue: cbv[inside & (np.abs(cbv - value) < 0.02)].mean()
        for tissue, value in (("cortex", 4.0), ("white_matter", 2.0))
    }
    assert whole["cortex"] / whole["white_matter"] == pytest.approx(2.0, rel=0.01)
    assert perfusion.cbv[np.isin(anatomy.labels, (4, 43)) & (mtt == 0)].max() == 0


def test_arteries_lie_in_the_brain_and_mix_with_tissue_by_their_fraction(plain, anatomy):
    perfusion, series = plain
    drawn = perfusion.artery * anatomy.mask
    assert (drawn > 0.6).sum() > 15
    left = np.arange(drawn.shape[0]) < drawn.shape[0] // 2
    assert 0.35 < drawn[left].sum() / drawn.sum() < 0.65
    voxel = np.unravel_index(np.argmax(drawn), drawn.shape)
    curve = change(series)[voxel]
    arterial = SETTINGS.bolus.arterial(series.times)
    assert 8 < curve.max() < arterial.max()
    assert abs(int(curve.argmax()) - int(arterial.argmax())) <= 1


def test_veins_reach_their_peak_after_the_arteries(plain):
    perfusion, series = plain
    pure = perfusion.vein > 0.95
    assert pure.sum() > 5
    curve = change(series)[pure].mean(axis=0)
    assert 2 <= int(curve.argmax()) - int(SETTINGS.bolus.arterial(series.times).argmax()) <= 6


@pytest.mark.parametrize(("t1", "t2star", "sign"), [(0.25, 0.0, -1), (0.0, 1.0, 1)])
def test_leaked_agent_changes_the_late_signal_by_its_mechanism(made, plain, anatomy, t1, t2star, sign):
    leakage = {LESION: Leakage(ktrans=0.004, t1=t1, t2star=t2star)}
    perfusion, series = made(replace(SETTINGS, leakage=leakage, echo_times=(0.012, 0.03)))
    share, _ = perfusion.leaks[0]
    _, tight = plain
    leaking, elsewhere = share > 0.5, (share == 0) & anatomy.mask
    late = change(series, 1)[..., -5:] - change(tight)[..., -5:]
    assert (sign * late[leaking] > 0.1).all()
    np.testing.assert_array_equal(series.signals[1][elsewhere], tight.signals[0][elsewhere])


def test_two_echoes_separate_relaxation_from_the_effect_on_t1(made):
    leakage = {LESION: Leakage(ktrans=0.004, back_rate=0.02, t1=0.25)}
    settings = replace(SETTINGS, echo_times=(0.012, 0.03))
    (perfusion, series), (_, tight) = made(replace(settings, leakage=leakage)), made(settings)
    leaking = (perfusion.leaks[0][0] > 0.5) & (perfusion.vein == 0) & (perfusion.artery == 0)

    def both(one):
        ratio = np.log(one.signals[0][leaking].astype(float) / one.signals[1][leaking])
        return (ratio - ratio[:, STEADY].mean(axis=1, keepdims=True)) / 0.018

    np.testing.assert_allclose(both(series), both(tight), atol=1e-3)


def test_first_frames_are_brighter_unless_dummies_precede_them(made, plain, anatomy):
    _, series = plain
    white = anatomy.reference
    signal = series.signals[0][white].mean(axis=0)
    assert signal[0] > 1.15 * signal[7]
    assert signal[5] == pytest.approx(signal[7], rel=1e-3)
    _, later = made(replace(SETTINGS, dummies=8))
    np.testing.assert_allclose(later.signals[0][white][:, 0], later.signals[0][white][:, 7], rtol=1e-4)


def test_later_slices_see_the_bolus_later(made, plain, anatomy):
    times = tuple(np.linspace(0.0, 1.4, anatomy.mask.shape[2]))
    perfusion, series = made(replace(SETTINGS, slice_times=times, delay=(0.0, 0.0)))
    inside = np.argwhere(away_from_vessels(perfusion, anatomy))
    top, bottom = inside[inside[:, 2].argmax()], inside[inside[:, 2].argmin()]
    for voxel in (top, bottom):
        at = series.times + times[voxel[2]]
        expected = sum(f[tuple(voxel)] * SETTINGS.bolus.tissue(at, m) for m, f in perfusion.flows.items())
        np.testing.assert_allclose(change(series)[tuple(voxel)][6:], expected[6:], atol=2e-3 * expected.max())


def test_noise_is_rician_and_repeatable(made, anatomy):
    (_, clean), (_, noisy), (_, same) = made(SETTINGS), made(SETTINGS, 100.0), made(SETTINGS, 100.0)
    np.testing.assert_array_equal(noisy.signals[0], same.signals[0])
    sigma = clean.signals[0][anatomy.reference][:, STEADY].mean() / 100.0
    empty = (clean.signals[0] == 0).all(axis=3)
    assert noisy.signals[0][empty].mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    difference = noisy.signals[0][anatomy.reference] - clean.signals[0][anatomy.reference]
    assert difference[:, STEADY].std() == pytest.approx(sigma, rel=0.05)


def test_perfusion_of_a_named_region_replaces_that_of_its_tissue(made, anatomy):
    perfusion, _ = made(SETTINGS, regions={"putamen": Perfusion(cbv=1.7, mtt=3.0, r1=0.8)})
    shown = np.isin(anatomy.labels, (12, 51)) & (np.abs(perfusion.mtt - 3.0) < 0.01)
    assert shown.sum() > 5
    np.testing.assert_allclose(perfusion.cbv[shown], 1.7, rtol=0.05)


def test_texture_varies_volume_and_flow_together(made, plain, anatomy):
    rough, _ = made(SETTINGS, texture=0.1)
    smooth, _ = plain
    inside = away_from_vessels(smooth, anatomy)
    ratio = rough.cbv[inside] / smooth.cbv[inside]
    assert 0.05 < ratio.std() < 0.2
    np.testing.assert_allclose(rough.mtt[inside], smooth.mtt[inside], rtol=1e-4)


def test_impossible_settings_are_refused(made):
    with pytest.raises(UsageError, match="out of range"):
        DscSettings(flip_angle=0.0)
    with pytest.raises(UsageError, match="no voxel with label 777"):
        made(replace(SETTINGS, leakage={777: Leakage()}))
    with pytest.raises(InputError, match=r"use 1\.5"):
        made(replace(SETTINGS, repetition_time=1500.0, frames=1))


def test_series_checks_its_arrays():
    from qsmengine.data import DscSeries

    grid = Grid((2, 2, 2), np.eye(4))
    one = np.ones((2, 2, 2, 5), np.float32)
    with pytest.raises(InputError, match="echo 2 has 4 frames"):
        DscSeries((one, one[..., :4]), (0.01, 0.02), 1.5, grid)
    with pytest.raises(InputError, match="2 echoes, 1 echo times"):
        DscSeries((one, one), (0.01,), 1.5, grid)
    with pytest.raises(InputError, match="3 times for 2 slices"):
        DscSeries((one,), (0.01,), 1.5, grid, np.zeros(3))
    assert DscSeries((one,), (0.01,), 1.5, grid).times[-1] == 6.0


def test_shapes_of_transit_times_share_the_flow_and_keep_the_blood_volume(made):
    curves = {
        shapes: change(made(replace(SETTINGS, transit_shapes=shapes))[1])
        for shapes in ((1.0,), (8.0,), (1.0, 8.0))
    }
    perfusion, _ = made(SETTINGS)
    inside = (perfusion.cbv > 1) & (perfusion.artery + perfusion.vein == 0)
    one, box, both = (curve[inside] for curve in curves.values())
    np.testing.assert_allclose(both, (one + box) / 2, atol=2e-3 * np.abs(one).max())
    np.testing.assert_allclose(box.sum(axis=1).mean(), one.sum(axis=1).mean(), rtol=0.08)
    assert np.abs(box - one).max() > 0.05 * one.max()


@pytest.mark.parametrize("shapes", [(), (1.0, 0.0)])
def test_shapes_that_are_not_positive_are_refused(shapes):
    with pytest.raises(UsageError, match="positive"):
        DscSettings(transit_shapes=shapes)
