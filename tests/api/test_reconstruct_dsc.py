"""The perfusion chain from noisy signals to maps, with every way to choose the artery."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qsmengine
from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.errors import InputError, UsageError
from qsmengine.stages.perfusion.chain import DscResult
from tests.stages.perfusion.brain import ECHO_TIME, FLOW, GRID, SECOND_ECHO_TIME, TRANSIT, Brain, Image, brain
from tests.stages.perfusion.curves import PLAIN, STEP


@pytest.fixture(scope="module")
def head() -> Brain:
    return brain()


@pytest.fixture(scope="module")
def series(head: Brain) -> Image:
    return head.signal(np.random.default_rng(11), snr=100.0)


def reconstruct(head: Brain, series: Any, **options: Any) -> DscResult:
    settings: dict[str, Any] = {"mask": head.mask, "echo_times": ECHO_TIME, "repetition_time": STEP}
    settings |= {"params": {"deconvolution": PLAIN}}
    return qsmengine.reconstruct_dsc(series, GRID, **(settings | options))


def _means(head: Brain, image: Any) -> dict[str, float]:
    host = to_numpy(image)
    return {
        "grey": float(host[head.grey & head.tissue].mean()),
        "white": float(host[head.tissue & ~head.grey].mean()),
    }


def test_blood_volume_follows_the_given_artery(head: Brain, series: Image, device: Device) -> None:
    images = device.asarray(series)
    found = reconstruct(head, images, aif=head.aif, device=device)
    for tissue, value in _means(head, found.cbv).items():
        assert value == pytest.approx(100 * FLOW[tissue] * TRANSIT[tissue], rel=0.04)
    assert found.aif.mask is None
    assert found.aif.quality.voxels == 0
    np.testing.assert_allclose(to_numpy(found.cbv_per_volume), to_numpy(found.cbv), rtol=1e-6)
    assert found.delay is not None
    assert reconstruct(head, images, aif=head.aif, device=device, method="csvd").delay is None


def test_automatic_artery_lies_in_the_artery(head: Brain, series: Image) -> None:
    found = reconstruct(head, series)
    assert found.aif.mask is not None
    assert found.aif.mask.any()
    assert not (found.aif.mask & ~head.artery).any()
    assert found.aif.quality.lead > 0
    assert found.aif.quality.peak_to_noise > 20
    assert found.aif.quality.width == pytest.approx(7.0, abs=1.5)
    for name in ("cbv", "cbf", "mtt", "tmax", "ttp", "quality", "k2"):
        image = getattr(found, name)
        assert np.isfinite(image).all()
        assert (image[~head.mask] == 0).all()


def test_mask_of_the_artery_wins(head: Brain, series: Image) -> None:
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(np.argwhere(head.artery)[3])] = True
    found = reconstruct(head, series, aif_mask=mask)
    np.testing.assert_array_equal(found.aif.mask, mask)


def test_two_echoes_agree_with_one(head: Brain, series: Image) -> None:
    second = head.signal(np.random.default_rng(12), snr=100.0, echo_time=SECOND_ECHO_TIME)
    found = reconstruct(head, (series, second), echo_times=(ECHO_TIME, SECOND_ECHO_TIME), aif=head.aif)
    for tissue, value in _means(head, found.cbv).items():
        assert value == pytest.approx(100 * FLOW[tissue] * TRANSIT[tissue], rel=0.05)


def test_relative_maps_are_one_in_their_region(head: Brain, series: Image) -> None:
    region = head.tissue & ~head.grey
    found = reconstruct(head, series, aif=head.aif, relative_to=region)
    for name in ("cbv", "cbf"):
        assert found.relative[name][region].mean() == pytest.approx(1.0, abs=1e-5)
    assert found.relative["cbv"][head.grey & head.tissue].mean() == pytest.approx(2.0, rel=0.03)


def test_leakage_correction_can_be_switched_off(head: Brain, series: Image) -> None:
    found = reconstruct(head, series, leakage="none")
    assert found.k2 is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "svd"}, UsageError, "osvd"),
        ({"leakage": "both"}, UsageError, "bidirectional"),
        ({"params": {"deconvolve": {}}}, UsageError, "deconvolve"),
        ({"params": {"deconvolution": {"threshold": 2}}, "method": "csvd"}, UsageError, "threshold"),
        ({"echo_times": (0.03, 0.05)}, InputError, "2 echo times"),
        ({"echo_times": 30.0}, InputError, "0.03"),
        ({"repetition_time": 1250.0}, InputError, "1.25"),
        ({"relative_to": np.zeros(GRID.shape, bool)}, InputError, "region"),
        ({"aif": np.ones(5)}, InputError, "frames"),
    ],
)
def test_input_that_cannot_be_used_is_named(
    head: Brain, series: Image, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        reconstruct(head, series, **options)
    assert "\n" not in str(caught.value)


def test_curve_and_mask_of_the_artery_exclude_each_other(head: Brain, series: Image) -> None:
    with pytest.raises(UsageError, match="not both"):
        reconstruct(head, series, aif=head.aif, aif_mask=head.artery)


def test_a_volume_is_no_series(head: Brain, series: Image) -> None:
    with pytest.raises(InputError, match="frame"):
        reconstruct(head, series[..., 0])
    with pytest.raises(InputError, match="frame"):
        reconstruct(head, series[..., 0], mask=None)


def test_the_same_series_gives_the_same_bytes(head: Brain, series: Image) -> None:
    first, second = (reconstruct(head, series, device=cpu(threads)) for threads in (1, 2))
    assert first.cbf.tobytes() == second.cbf.tobytes()
    assert first.aif.curve.tobytes() == second.aif.curve.tobytes()


@pytest.mark.parametrize("method", ["exponential", "osvd"])
def test_a_gpu_gives_the_maps_of_the_cpu(head: Brain, series: Image, device: Device, method: str) -> None:
    found, expected = (
        reconstruct(head, where.asarray(series), device=where, method=method) for where in (device, cpu(2))
    )
    np.testing.assert_array_equal(to_numpy(found.aif.mask), expected.aif.mask)
    for name in ("cbv", "cbf", "mtt", "tmax"):
        image = np.asarray(getattr(expected, name))
        away = np.abs(to_numpy(getattr(found, name)) - image)[head.mask] / np.abs(image).max()
        assert np.quantile(away, 0.995) <= 1e-4, name
