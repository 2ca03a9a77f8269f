from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.io import load_gre
from qsmengine.stages.phase.romeo import RomeoParams, romeo
from tests.stages.gre import DEVICE, TWO_PI, axes, grid_of, simulate, turns_apart

CROP = Path(__file__).parents[2] / "data" / "romeo-gre-crop"
TIMES = (0.004, 0.009, 0.015)


def unwrap(phase, magnitude, mask, times=TIMES, **params):
    return romeo(phase, magnitude, mask, times, grid_of(mask.shape), RomeoParams(**params), device=DEVICE)


def steep_field(shape, amplitude=150.0):
    """Field [Hz] whose phase at the first echo turns several times but by less than pi between voxels."""
    x, y, z = axes(shape)
    return amplitude * (x**2 + y**2 - z**2 + 0.5 * x * z)


@pytest.fixture(scope="module")
def crop():
    loaded = load_gre(
        CROP / "Mag.nii.gz", CROP / "Phase.nii.gz", echo_times=(0.004, 0.008, 0.012), field_strength=3.0
    )
    series = loaded.series
    mask = series.magnitude[..., 0] > 0.3 * np.median(series.magnitude[..., 0])
    return (
        series,
        mask,
        romeo(
            series.phase, series.magnitude, mask, series.echo_times, series.grid, RomeoParams(), device=DEVICE
        ),
    )


def test_real_phase_changes_by_whole_turns_only(crop):
    series, mask, result = crop
    turns, rest = turns_apart(result.unwrapped[mask], series.phase[mask])
    assert rest.max() < 1e-4
    assert len(np.unique(turns)) > 2
    assert (result.unwrapped[~mask] == 0).all()


def test_real_neighbours_of_good_quality_have_no_wrap_between_them(crop):
    _, mask, result = crop
    good = mask & (result.quality > 0.7)
    pairs = 0
    for axis in range(3):
        both = np.take(good, range(1, good.shape[axis]), axis) & np.take(
            good, range(good.shape[axis] - 1), axis
        )
        steps = np.abs(np.diff(result.unwrapped, axis=axis))[both]
        assert (steps > np.pi).mean() == 0
        pairs += both.sum()
    assert pairs > 100_000


def test_real_echoes_follow_the_first_in_proportion_to_time(crop):
    series, mask, result = crop
    good = mask & (result.quality > 0.7)
    for echo in (1, 2):
        ratio = series.echo_times[echo] / series.echo_times[echo - 1]
        residual = result.unwrapped[good][:, echo] - ratio * result.unwrapped[good][:, echo - 1]
        assert (np.abs(residual) > 1.5 * np.pi).mean() < 1e-3


@pytest.mark.parametrize("shape", [(32, 30, 28), (31, 33, 29), (33, 32, 1), (1, 40, 41)])
@pytest.mark.parametrize("template", [1, 2, 3])
def test_steep_field_is_recovered_exactly(shape, template):
    field = steep_field(shape)
    magnitude, phase = simulate(field, TIMES)
    unwrapped = unwrap(phase, magnitude, np.ones(shape, bool), template_echo=template).unwrapped
    assert np.ptp(unwrapped[..., 0]) > 2 * np.pi
    np.testing.assert_allclose(unwrapped, TWO_PI * field[..., None] * np.asarray(TIMES), atol=2e-4)


def test_single_echo_is_recovered_up_to_one_turn_count():
    shape = (30, 31, 32)
    field = steep_field(shape) + 900.0
    magnitude, phase = simulate(field, TIMES[:1])
    unwrapped = unwrap(phase, magnitude, np.ones(shape, bool), TIMES[:1]).unwrapped
    turns, rest = turns_apart(unwrapped[..., 0], TWO_PI * field * TIMES[0])
    assert rest.max() < 2e-4
    assert np.ptp(turns) == 0
    assert abs(np.median(unwrapped)) <= np.pi


def test_every_component_finds_the_branch_that_fits_the_second_echo():
    shape = (40, 24, 20)
    mask = np.zeros(shape, bool)
    field = np.zeros(shape)
    for start, offset in ((0, -300.0), (10, 0.0), (20, 180.0), (30, 420.0)):
        mask[start : start + 8] = True
        field[start : start + 8] = offset
    mask[38, 3, 3] = False
    mask[39, 3, 3] = True
    field += 20 * axes(shape)[1]
    magnitude, phase = simulate(field, TIMES)
    unwrapped = unwrap(phase, magnitude, mask).unwrapped
    np.testing.assert_allclose(
        unwrapped[mask], (TWO_PI * field[..., None] * np.asarray(TIMES))[mask], atol=3e-4
    )


def test_evenly_spaced_echoes_leave_each_component_in_the_branch_around_zero():
    shape = (24, 20, 20)
    mask = np.ones(shape, bool)
    mask[11:13] = False
    field = np.where(np.arange(24) < 12, 280.0, -310.0)[:, None, None] + 15 * axes(shape)[2]
    times = (0.004, 0.008)
    magnitude, phase = simulate(field, times)
    unwrapped = unwrap(phase, magnitude, mask, times).unwrapped
    for part in (mask & (np.arange(24) < 12)[:, None, None], mask & (np.arange(24) > 12)[:, None, None]):
        assert abs(np.median(unwrapped[part][:, 0])) < np.pi
        turns, rest = turns_apart(unwrapped[part][:, 0], TWO_PI * field[part] * times[0])
        assert np.ptp(turns) == 0
        assert rest.max() < 2e-4


def test_hollow_mask_is_unwrapped_everywhere():
    shape = (36, 37, 35)
    radius = np.sqrt(sum(c**2 for c in axes(shape)))
    mask = (radius > 0.75) & (radius < 0.98)
    assert not mask[tuple(n // 2 for n in shape)]
    field = steep_field(shape)
    magnitude, phase = simulate(field, TIMES)
    unwrapped = unwrap(phase, magnitude, mask).unwrapped
    np.testing.assert_allclose(
        unwrapped[mask], (TWO_PI * field[..., None] * np.asarray(TIMES))[mask], atol=2e-4
    )


def ring(x, y, z):
    return ((np.hypot(x, y) - 0.65) ** 2 + z**2) < 0.05


def ball_in_a_shell(x, y, z):
    r = np.sqrt(x**2 + y**2 + z**2)
    return (r < 0.25) | ((r > 0.6) & (r < 0.95))


@pytest.mark.parametrize("mode", ["template", "individual"])
@pytest.mark.parametrize("region", [ring, ball_in_a_shell])
def test_masks_without_their_own_centre_of_mass_find_their_seeds(region, mode):
    shape = (33, 32, 31)
    field = steep_field(shape, amplitude=90.0)
    magnitude, phase = simulate(field, TIMES)
    mask = region(*axes(shape))
    result = unwrap(phase, magnitude, mask, mode=mode)
    truth = TWO_PI * field[..., None] * np.asarray(TIMES)
    np.testing.assert_allclose(result.unwrapped[mask], truth[mask], atol=1e-4)
    assert (result.quality[mask] > 0).all()


def test_noisy_phase_is_unwrapped_with_few_errors():
    rng = np.random.default_rng(4)
    shape = (40, 41, 39)
    field = steep_field(shape)
    magnitude, phase = simulate(field, TIMES, sigma=0.2, rng=rng)
    unwrapped = unwrap(phase, magnitude, np.ones(shape, bool)).unwrapped
    _, rest = turns_apart(unwrapped, phase)
    assert rest.max() < 1e-4
    error = np.abs(unwrapped - TWO_PI * field[..., None] * np.asarray(TIMES))
    assert (error > np.pi).mean(axis=(0, 1, 2)) == pytest.approx([0, 0, 0], abs=5e-3)


def test_voxels_off_the_line_in_time_are_grown_again_in_space():
    shape = (30, 30, 30)
    x, y, z = axes(shape)
    bump = 4.5 * np.exp(-(x**2 + y**2 + z**2) / 0.08)
    field = 30 * x
    magnitude, phase = simulate(field, TIMES)
    truth = TWO_PI * field[..., None] * np.asarray(TIMES)
    truth[..., 1] += bump
    phase[..., 1] = np.angle(np.exp(1j * truth[..., 1]))
    unwrapped = unwrap(phase[..., :2], magnitude[..., :2], np.ones(shape, bool), TIMES[:2]).unwrapped
    np.testing.assert_allclose(unwrapped[..., 1], truth[..., 1], atol=1e-4)
    by_time_alone = unwrap(
        phase[..., :2], magnitude[..., :2], np.ones(shape, bool), TIMES[:2], temporal_limit=1.0
    ).unwrapped
    assert np.abs(by_time_alone[..., 1] - truth[..., 1]).max() > 6


def test_values_outside_the_mask_do_not_matter():
    rng = np.random.default_rng(9)
    shape = (20, 21, 22)
    magnitude, phase = simulate(steep_field(shape, 100.0), TIMES, sigma=0.1, rng=rng)
    mask = rng.random(shape) > 0.3
    plain = unwrap(phase, magnitude, mask)
    phase[~mask], magnitude[~mask] = np.nan, np.inf
    spoiled = unwrap(phase, magnitude, mask)
    np.testing.assert_array_equal(plain.unwrapped, spoiled.unwrapped)
    np.testing.assert_array_equal(plain.quality, spoiled.quality)


def test_memory_order_does_not_matter():
    shape = (15, 16, 17)
    magnitude, phase = simulate(steep_field(shape, 100.0), TIMES)
    mask = np.ones(shape, bool)
    c_order = unwrap(phase, magnitude, mask)
    f_order = unwrap(np.asfortranarray(phase), np.asfortranarray(magnitude), np.asfortranarray(mask))
    np.testing.assert_array_equal(c_order.unwrapped, f_order.unwrapped)
    assert c_order.unwrapped.dtype == np.float32


def test_quality_lies_between_0_and_1_and_falls_with_noise():
    rng = np.random.default_rng(2)
    shape = (24, 24, 24)
    mask = np.ones(shape, bool)
    means = []
    for sigma in (0.0, 0.2, 1.0):
        magnitude, phase = simulate(np.zeros(shape), TIMES, sigma=sigma, rng=rng)
        quality = unwrap(phase, magnitude, mask).quality
        assert quality.min() >= 0
        assert quality.max() <= 1
        means.append(quality.mean())
    assert means[0] > 0.9 > means[1] > means[2]
    assert means[2] < 0.3


def test_bad_inputs_are_named():
    shape = (5, 6, 7)
    magnitude, phase = simulate(np.zeros(shape), TIMES)
    with pytest.raises(InputError, match="mask is empty"):
        unwrap(phase, magnitude, np.zeros(shape, bool))
    with pytest.raises(InputError, match="magnitude has shape"):
        unwrap(phase, magnitude[..., :2], np.ones(shape, bool))
    with pytest.raises(UsageError, match="template_echo is 4, there are 3 echoes"):
        unwrap(phase, magnitude, np.ones(shape, bool), template_echo=4)


@pytest.mark.parametrize("template", [1, 2, 3])
def test_individual_mode_recovers_phase_that_is_not_linear_in_time(template):
    shape = (30, 31, 32)
    x, y, _ = axes(shape)
    bends = (0.0, 2.5, -2.0)
    offset = np.stack([b * (x + y) for b in bends], axis=-1)
    field = steep_field(shape, 60.0)
    truth = TWO_PI * field[..., None] * np.asarray(TIMES) + offset
    phase = np.angle(np.exp(1j * truth)).astype(np.float32)
    magnitude = np.ones_like(phase)
    mask = np.ones(shape, bool)
    found = unwrap(phase, magnitude, mask, mode="individual", template_echo=template).unwrapped
    np.testing.assert_allclose(found, truth, atol=2e-4)
    follows = unwrap(phase, magnitude, mask, template_echo=template, temporal_limit=1.0).unwrapped
    assert np.abs(follows - truth).max() > np.pi


def test_individual_mode_gives_each_echo_the_turns_that_its_time_needs():
    shape = (20, 22, 24)
    field = steep_field(shape, 30.0) + 260.0
    magnitude, phase = simulate(field, TIMES)
    found = unwrap(phase, magnitude, np.ones(shape, bool), mode="individual").unwrapped
    np.testing.assert_allclose(found, TWO_PI * field[..., None] * np.asarray(TIMES), atol=3e-4)


def test_magnitude_weights_lower_the_quality_of_dark_and_bright_voxels_only():
    shape = (24, 24, 24)
    magnitude, phase = simulate(steep_field(shape, 40.0), TIMES)
    magnitude[:] = 1.0
    magnitude[:4] = 0.1
    magnitude[20:] = 4.0
    mask = np.ones(shape, bool)
    plain = unwrap(phase, magnitude, mask).quality
    weighted = unwrap(phase, magnitude, mask, magnitude_weights=True).quality
    bright = 0.5 * np.percentile(magnitude[..., 0], 95)
    assert bright == 2.0
    inner = (slice(8, 16),) * 3
    dark = 0.1 + 0.9 * (0.5 + 0.5 * 1.0 / bright)
    np.testing.assert_allclose(weighted[inner] / plain[inner], dark, atol=0.01)
    very_dark = 0.1 + 0.9 * (0.5 + 0.5 * 0.1 / bright)
    np.testing.assert_allclose((weighted / plain)[1, 8:16, 8:16], very_dark, atol=0.01)
    too_bright = 0.1 + 0.9 * (0.5 + 0.5 * bright / 4.0)
    np.testing.assert_allclose((weighted / plain)[22, 8:16, 8:16], too_bright, atol=0.01)
