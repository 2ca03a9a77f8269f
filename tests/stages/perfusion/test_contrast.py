"""Contrast: the change of R2* from noisy signals, its noise and saturation, and series that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.brain import ECHO_TIME, GRID, SECOND_ECHO_TIME, Brain, Image, brain
from tests.stages.perfusion.curves import FRAMES, STEP, TIMES


def contrast(
    signal: Image, mask: Image, device: Device, second: Image | None = None, **settings: Any
) -> dict[str, Any]:
    method = get_method("contrast", "single_echo" if second is None else "dual_echo")
    times = tuple(STEP * np.arange(signal.shape[3]))
    inputs: dict[str, Any] = {"dynamic": signal, "mask": mask, "frame_times": times, "echo_time": ECHO_TIME}
    if second is not None:
        inputs |= {"second_dynamic": second, "second_echo_time": SECOND_ECHO_TIME}
    found = method(inputs, GRID, method.params(**settings), device=device)
    return {name: to_numpy(value) if hasattr(value, "shape") else value for name, value in found.items()}


@pytest.fixture(scope="module")
def head() -> Brain:
    return brain()


def test_change_of_r2star_is_recovered(head: Brain, rng: np.random.Generator, device: Device) -> None:
    found = contrast(head.signal(rng, snr=None), head.mask, device)
    first = round(found["steady"] / STEP)
    wrong = (found["dr2star"] - head.change)[head.tissue][:, first:]
    assert np.abs(wrong).max() <= 0.01 * head.change[head.tissue].max()
    assert (found["dr2star"][..., :first] == 0).all()
    assert 20.0 <= found["arrival"] <= 20.0 + 3 * STEP
    assert found["baseline_frames"] == round((found["arrival"] - found["steady"]) / STEP) - 1


def test_noise_is_that_of_the_signal(head: Brain, rng: np.random.Generator) -> None:
    found = contrast(head.signal(rng, snr=80.0), head.mask, cpu(2))
    expected = 1.0 / (80.0 * ECHO_TIME)
    assert np.median(found["dr2star_sd"][head.mask]) == pytest.approx(expected, rel=0.1)
    assert found["dr2star_sd"][head.mask].mean() == pytest.approx(expected, rel=0.1)


def test_saturated_frames_are_counted_and_bounded(head: Brain, rng: np.random.Generator) -> None:
    signal = head.signal(rng, snr=50.0)
    deep = np.zeros(GRID.shape, bool)
    deep[12:14, 12, 6] = True
    signal[deep, 20:24] = 1e-3
    found = contrast(signal, head.mask, cpu(2))
    assert (found["saturated"][deep] == 4).all()
    assert (found["saturated"][head.tissue & ~deep] == 0).all()
    relative = found["dr2star_sd"][deep] * ECHO_TIME
    floor = (-np.log(relative) - (1 / 9 - relative**2 / found["baseline_frames"]) / 2) / ECHO_TIME
    np.testing.assert_allclose(found["dr2star"][deep][:, 20:24], np.tile(floor[:, None], 4), rtol=1e-5)


def test_noise_does_not_add_to_the_area(head: Brain) -> None:
    """The logarithm of a noisy signal is low on average: by 5 % of white matter's area here."""
    signal = head.signal(np.random.default_rng(7), snr=60.0)
    found = contrast(signal, head.mask, cpu(2))
    first = round(found["steady"] / STEP)
    excess = (found["dr2star"] - head.change)[head.tissue][:, first:].mean()
    uncorrected = 0.5 / 60.0**2 / ECHO_TIME
    assert abs(excess) <= 0.4 * uncorrected


def test_two_echoes_are_free_of_t1_effects(head: Brain, rng: np.random.Generator, device: Device) -> None:
    bright = 1.0 + 0.5 * (TIMES > 22) * (1 - np.exp(-(TIMES - 22) / 20))
    first = head.signal(rng, snr=None) * bright
    second = head.signal(rng, snr=None, echo_time=SECOND_ECHO_TIME) * bright
    mask = head.tissue
    found = contrast(first, mask, device, second)
    steady = round(found["steady"] / STEP)
    wrong = (found["dr2star"] - head.change)[mask][:, steady:]
    assert np.abs(wrong).max() <= 0.02 * head.change[mask].max()
    reordered = contrast(np.asfortranarray(first), mask, device, second)
    np.testing.assert_array_equal(reordered["dr2star"], found["dr2star"])


def _refused(head: Brain, signal: Image, message: str, **settings: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        contrast(signal, head.mask, cpu(1), **settings)
    assert "\n" not in str(caught.value)


def test_series_without_a_bolus_are_refused(head: Brain, rng: np.random.Generator) -> None:
    noise = (500.0 + 5.0 * rng.normal(size=(*GRID.shape, FRAMES))).astype(np.float32)
    _refused(head, noise, "no bolus")
    _refused(head, noise * np.linspace(1.0, 0.6, FRAMES, dtype=np.float32), "no bolus")
    _refused(head, noise * (1.0 + 0.2 * (TIMES > 30)).astype(np.float32), "no bolus passes")


def test_agent_without_a_baseline_is_refused(head: Brain, rng: np.random.Generator) -> None:
    signal = head.signal(rng, snr=100.0)
    _refused(head, signal[..., 19:], "from the start")
    _refused(head, signal[..., 12:], "baseline")


def test_series_that_saturate_everywhere_are_refused(head: Brain, rng: np.random.Generator) -> None:
    signal = head.signal(rng, snr=100.0)
    signal[..., 20:24] *= 1e-3
    _refused(head, signal, "saturates")


def test_short_series_and_milliseconds_are_refused(head: Brain, rng: np.random.Generator) -> None:
    signal = head.signal(rng, snr=100.0)
    _refused(head, signal[..., :19], "19 frames")
    method = get_method("contrast", "single_echo")
    inputs = {"dynamic": signal, "mask": head.mask, "echo_time": ECHO_TIME}
    for times, message in (
        (1250.0 * np.arange(FRAMES), "milliseconds, use 1.25"),
        (TIMES + 0.3 * (np.arange(FRAMES) > 5), "evenly"),
        (TIMES[::-1], "ascending"),
    ):
        with pytest.raises(InputError, match=message):
            method({**inputs, "frame_times": tuple(times)}, GRID, method.params(), device=cpu(1))
