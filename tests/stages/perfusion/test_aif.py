"""The arterial input function lies in the artery, is the same at every run, and follows its corrections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.perfusion.aif import AifParams, tissue_equivalent
from qsmengine.stages.perfusion.candidates import find_candidates
from qsmengine.stages.perfusion.chain import Aif, chain_notes
from qsmengine.stages.perfusion.quality import aif_quality, check_aif_quality
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.brain import AIF_AREA, ECHO_TIME, GRID, Brain, brain
from tests.stages.perfusion.curves import STEP, TIMES


@pytest.fixture(scope="module")
def head() -> Brain:
    return brain()


def choose(head: Brain, method: str, device: Device, seed: int = 1, **settings: Any) -> dict[str, Any]:
    aif_mask = settings.pop("aif_mask", None)
    rng = np.random.default_rng(seed)
    sd = settings.pop("sd", 1.0 / (100.0 * ECHO_TIME))
    clean = settings.pop("change", head.change)
    inputs = {
        "dr2star": (clean + sd * rng.normal(size=clean.shape)).astype(np.float32),
        "dr2star_sd": np.full(GRID.shape, sd, np.float32),
        "saturated": np.zeros(GRID.shape, np.float32),
        "mask": head.mask,
        "frame_times": tuple(TIMES),
        "arrival": 21.25,
        **({} if aif_mask is None else {"aif_mask": aif_mask}),
    }
    inputs |= settings.pop("inputs", {})
    chosen = get_method("aif", method)
    found = chosen(inputs, GRID, chosen.params(**settings), device=device)
    return {name: to_numpy(value) if hasattr(value, "shape") else value for name, value in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_automatic_choice_lies_in_the_artery_and_is_repeatable(head: Brain, seed: int, device: Device) -> None:
    found, again = (choose(head, "automatic", device, seed) for _ in range(2))
    chosen = found["aif_mask"]
    assert 3 <= chosen.sum() <= 20
    assert not (chosen & ~head.artery).any()
    np.testing.assert_array_equal(chosen, again["aif_mask"])
    np.testing.assert_array_equal(found["aif"], again["aif"])
    assert np.abs(found["aif"] - 0.8 * head.aif).max() <= 0.05 * head.aif.max()


def partly_in_vessels(head: Brain, rng: np.random.Generator) -> Any:
    """dR2* with voxels around the vessels that lie in them by random fractions below 0.5."""
    change = head.change.copy()
    for vessel in (head.artery, head.vein):
        curve = change[vessel][0]
        ring = binary_dilation(vessel, np.ones((3, 3, 3), bool)) & head.tissue
        share = rng.uniform(0.0, 0.5, (int(ring.sum()), 1))
        signal = (1 - share) * np.exp(-ECHO_TIME * change[ring]) + share * np.exp(-ECHO_TIME * curve)
        change[ring] = -np.log(signal) / ECHO_TIME
    return change


@pytest.mark.parametrize("snr", [np.inf, 300.0, 50.0])
@pytest.mark.parametrize("seed", range(3))
def test_voxels_only_partly_in_the_artery_are_left_out_at_any_noise(head: Brain, seed: int, snr: float) -> None:
    change = partly_in_vessels(head, np.random.default_rng(40 + seed))
    found = choose(head, "automatic", cpu(2), seed, change=change, sd=1.0 / (snr * ECHO_TIME))
    assert not (found["aif_mask"] & ~head.artery).any()
    assert found["aif"].sum() == pytest.approx(0.8 * AIF_AREA, rel=0.06)


def test_few_pure_voxels_are_not_diluted(head: Brain) -> None:
    change = 0.7 * head.change.astype(np.float32)
    where = np.flatnonzero(head.artery)
    change.reshape(-1, TIMES.size)[where[:3]] /= 0.7
    none = np.zeros(GRID.shape, np.float32)
    found = find_candidates(change, none, none, head.mask, tuple(TIMES), 21.25, GRID, cpu(2))
    np.testing.assert_array_equal(found.purest(where, 3, 20), where[:3])


def test_voxels_with_little_signal_are_not_an_artery(head: Brain) -> None:
    rim = binary_dilation(head.artery) & head.tissue
    rim.flat[np.flatnonzero(rim)[8:]] = False
    change, deviation = head.change.copy(), np.full(GRID.shape, 1.0 / (100.0 * ECHO_TIME), np.float32)
    change[rim] = 0.8 * head.aif
    deviation[rim] *= 6.0
    found = choose(head, "automatic", cpu(2), change=change, inputs={"dr2star_sd": deviation})
    assert found["aif_mask"].any()
    assert not (found["aif_mask"] & ~head.artery).any()


@pytest.mark.parametrize("sensitivity", [False, True])
def test_voxels_mostly_in_bone_are_not_an_artery_though_they_show_its_curve(
    head: Brain, sensitivity: bool, device: Device
) -> None:
    rim = binary_dilation(head.artery) & head.tissue
    change, signal = head.change.copy(), np.where(head.mask, 500.0, 900.0).astype(np.float32)
    change[rim] = 0.9 * head.aif
    signal[rim] /= 3.0
    if sensitivity:
        signal *= np.geomspace(1.0, 4.0, GRID.shape[2], dtype=np.float32)
    dark, bright = (choose(head, "automatic", device, change=change, inputs=i) for i in ({}, {"s0": signal}))
    assert (dark["aif_mask"] & rim).any()
    assert bright["aif_mask"].any()
    assert not (bright["aif_mask"] & ~head.artery).any()


def test_curves_of_a_single_frame_are_not_an_artery(head: Brain) -> None:
    change = head.change.copy()
    change[16:19, 5:8, 5:8] = 0.0
    change[16:19, 5:8, 5:8, np.searchsorted(TIMES, 22.0)] = AIF_AREA
    found = choose(head, "automatic", cpu(2), change=change)
    assert not (found["aif_mask"] & ~head.artery).any()


def test_a_brain_without_an_artery_is_refused(head: Brain) -> None:
    change = head.change.copy()
    change[head.artery | head.vein] = change[head.grey & head.tissue][0]
    for sd in (0.0, 0.1):
        with pytest.raises(InputError, match="no artery found: the area of the best curve"):
            choose(head, "automatic", cpu(2), change=change, sd=sd)


@pytest.mark.parametrize(("factor", "count"), [(1.0, 0), (0.2, 1)])
def test_an_artery_of_too_small_an_area_is_noted(head: Brain, factor: float, count: int) -> None:
    mean = head.change[head.mask].mean(axis=0)
    quality = aif_quality(factor * head.aif, mean, STEP, 20.0, 4)
    assert quality.brain_share == pytest.approx(mean.sum() / (factor * head.aif.sum()), rel=1e-6)
    assert sum("lies partly in tissue" in problem for problem in quality.problems) == count


def test_an_artery_that_fills_the_brain_with_blood_is_refused(head: Brain) -> None:
    mean = head.change[head.mask].mean(axis=0)
    check_aif_quality(aif_quality(mean, mean, STEP, 20.0, 4))
    with pytest.raises(InputError, match=r"aif: .* 1e\+03 times the area of the artery's .* 67000 mL of"):
        check_aif_quality(aif_quality(mean / 1000, mean, STEP, 20.0, 4))


def test_saturated_voxels_are_never_chosen(head: Brain) -> None:
    saturated = np.zeros(GRID.shape, np.float32)
    saturated[:, :9] = 2.0
    found = choose(head, "automatic", cpu(2), inputs={"saturated": saturated})
    assert found["aif_mask"].any()
    assert not (found["aif_mask"] & (saturated > 0)).any()


def test_voxels_count_by_their_noise(head: Brain, device: Device) -> None:
    sd = np.full(GRID.shape, 0.5, np.float32)
    first, second = np.argwhere(head.artery)[:2]
    sd[tuple(second)] = 0.25
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(first)] = mask[tuple(second)] = True
    change = np.zeros((*GRID.shape, TIMES.size), np.float32)
    change[tuple(first)], change[tuple(second)] = head.aif, 2 * head.aif
    found = choose(head, "mask", device, aif_mask=mask, inputs={"dr2star": change, "dr2star_sd": sd})
    np.testing.assert_allclose(found["aif"], head.aif * (1 * 4 + 2 * 16) / 20, rtol=2e-2)
    np.testing.assert_array_equal(found["aif_mask"], mask)


def test_a_mask_without_usable_voxels_is_refused(head: Brain) -> None:
    with pytest.raises(InputError, match="saturate"):
        choose(
            head, "mask", cpu(1), aif_mask=head.artery, inputs={"saturated": np.ones(GRID.shape, np.float32)}
        )
    with pytest.raises(InputError, match="overlap"):
        choose(head, "mask", cpu(1), aif_mask=~head.mask)


def test_vein_gives_the_artery_its_area(head: Brain) -> None:
    plain = choose(head, "automatic", cpu(2))
    scaled = choose(head, "automatic", cpu(2), vof=True)
    assert plain["vof_scale"] == 1.0
    np.testing.assert_allclose(scaled["aif"], plain["aif"] * scaled["vof_scale"], rtol=1e-6)
    assert scaled["aif"].sum() == pytest.approx(0.9 * AIF_AREA, rel=0.05)


def test_a_vein_of_small_area_does_not_scale_the_artery_down(head: Brain) -> None:
    change = head.change.copy()
    change[head.vein] *= 0.5
    plain = choose(head, "automatic", cpu(2), change=change)
    scaled = choose(head, "automatic", cpu(2), change=change, vof=True)
    assert scaled["vof_scale"] == pytest.approx(0.5 * 0.9 / 0.8, rel=0.05)
    np.testing.assert_array_equal(scaled["aif"], plain["aif"])
    quality = aif_quality(plain["aif"], head.change[head.mask].mean(axis=0), STEP, 20.0, 4)
    facts = {"baseline_frames": 10, "saturated": np.zeros(GRID.shape)}
    for found, count in ((plain, 0), (scaled, 1)):
        notes = chain_notes(facts, Aif(TIMES, found["aif"], None, quality, found["vof_scale"]))
        assert sum("vof: not applied" in note for note in notes) == count


def test_quadratic_relaxivity_inverts_the_blood_s_curve() -> None:
    params = AifParams(relaxivity="quadratic")
    concentration = np.linspace(0.0, 8.0, 20)
    blood = 1e3 * (params.linear * concentration + params.quadratic * concentration**2)
    np.testing.assert_allclose(tissue_equivalent(blood, params), 1e3 * params.tissue * concentration, rtol=1e-9)


def test_arrival_outside_the_series_is_refused(head: Brain) -> None:
    with pytest.raises(InputError, match="arrives"):
        choose(head, "automatic", cpu(1), inputs={"arrival": TIMES[-1] + 2 * STEP})


def test_a_mask_without_a_passage_is_refused(head: Brain) -> None:
    change = np.full((*GRID.shape, TIMES.size), -1.0, np.float32)
    with pytest.raises(InputError, match="qualifies as an artery"):
        choose(head, "automatic", cpu(1), inputs={"dr2star": change})
