"""The linear phase of even echoes is recovered and removed."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import UsageError
from qsmengine.stages.echoes import checked_mask, echo_first
from qsmengine.stages.phase.bipolar import polarity_phase
from qsmengine.stages.phase.mcpc3ds import Mcpc3dsParams, mcpc3ds
from tests.stages.gre import TWO_PI, axes, grid_of, simulate, wrapped

SHAPE = (32, 30, 26)
EQUAL, UNEQUAL = (0.004, 0.009, 0.014, 0.019), (0.004, 0.009, 0.016)


def bipolar_series(times, constant, slopes, *, sigma=0.0, rng=None):
    """Magnitude, phase, mask, field [Hz] with a linear phase on even echoes."""
    x, y, z = axes(SHAPE)
    field = 25 * (x * y + z**2)
    magnitude, phase = simulate(field, times, offset=0.4 + 0.3 * x, sigma=sigma, rng=rng)
    linear = constant + sum(s * i for s, i in zip(slopes, np.indices(SHAPE), strict=True))
    phase = phase.astype(np.float64)
    phase[..., 1::2] += linear[..., None]
    mask = x**2 + y**2 + z**2 < 0.95
    return magnitude, wrapped(phase).astype(np.float32), mask, field


def estimate(magnitude, phase, mask, times, device):
    grid = grid_of(SHAPE)
    wrapped_phase, weights = (echo_first(a, device) for a in (phase, magnitude))
    return polarity_phase(wrapped_phase, weights, checked_mask(mask, grid, device), times, device)


@pytest.mark.parametrize("times", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("slopes", [(0.05, 0.0, 0.0), (0.01, -0.3, 0.02)])
def test_phase_of_noise_free_echoes_is_exact(times, slopes, device):
    magnitude, phase, mask, _ = bipolar_series(times, -0.2, slopes)
    constant, found = estimate(magnitude, phase, mask, times, device)
    np.testing.assert_allclose(found, slopes, atol=2e-6)
    middle = np.array(SHAPE) / 2
    assert constant + found @ middle == pytest.approx(-0.2 + np.array(slopes) @ middle, abs=1e-5)


@pytest.mark.parametrize("times", [EQUAL, UNEQUAL])
def test_corrected_echoes_are_linear_in_time_through_zero(times, device):
    magnitude, phase, mask, field = bipolar_series(times, 0.3, (0.04, 0.0, 0.0))
    truth = TWO_PI * field[..., None] * np.asarray(times)

    def misfit(**params):
        corrected = mcpc3ds(
            phase,
            magnitude,
            mask,
            times,
            grid_of(SHAPE),
            Mcpc3dsParams(sigma=(2, 2, 2), **params),
            device=device,
        )
        return np.abs(wrapped(to_numpy(corrected) - truth))[mask]

    assert np.median(misfit(bipolar=True)) < 1e-3
    assert np.median(misfit()) > 0.3


def test_noise_is_averaged_away(device):
    rng = np.random.default_rng(4)
    magnitude, phase, mask, _ = bipolar_series(EQUAL, 0.1, (0.02, 0.0, 0.0), sigma=0.05, rng=rng)
    _, slopes = estimate(magnitude, phase, mask, EQUAL, device)
    np.testing.assert_allclose(slopes, (0.02, 0.0, 0.0), atol=3e-4)


def test_monopolar_echoes_have_no_such_phase(device):
    magnitude, phase, mask, _ = bipolar_series(EQUAL, 0.0, (0.0, 0.0, 0.0))
    constant, slopes = estimate(magnitude, phase, mask, EQUAL, device)
    np.testing.assert_allclose([constant, *slopes], 0.0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_echoes_are_an_error(count, device):
    magnitude, phase, mask, _ = bipolar_series(EQUAL, 0.0, (0.0, 0.0, 0.0))
    params = Mcpc3dsParams(bipolar=True)
    with pytest.raises(UsageError, match=f"needs three echoes or more, there are {count}"):
        mcpc3ds(
            phase[..., :count],
            magnitude[..., :count],
            mask,
            EQUAL[:count],
            grid_of(SHAPE),
            params,
            device=device,
        )
