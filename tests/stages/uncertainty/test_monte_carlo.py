from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.head import virtual_head
from qsmengine.stages.registry import get_method
from qsmengine.stages.uncertainty.monte_carlo import ChainStep, MonteCarloParams, monte_carlo
from tests.stages.gre import DEVICE

SHAPE = (24, 22, 20)
GRID = Grid.from_voxel_size(SHAPE, (2.0, 2.0, 2.0), field_strength=3.0)
X, Y, Z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
MASK = X**2 + Y**2 + Z**2 < 0.9


def step(stage, name, **params):
    method = get_method(stage, name)
    return ChainStep(method, method.params.model_validate(params), {})


VSHARP = step("background", "vsharp", max_radius=6.0)
TV = {
    "lambda": 4e-5, "noise_gain": 0.0, "mu_gradient": 2e-2, "mu_data": 0.05, "iterations": 30, "margin": 12.0,
    "point_spread": 0.0, "own_edges": 0.0,
}  # fmt: skip
CHAINS = {
    "linear": (VSHARP, step("inversion", "tkd", margin=20.0)),
    "total variation": (VSHARP, step("inversion", "weighted_tv", **TV)),
}  # fmt: skip


def case(seed=0):
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal(SHAPE), 2)
    field = 0.05 * field / field.std() + 0.05 * X
    noise = 1.5e-3 * np.exp(1.2 * Y) * MASK
    return field.astype(np.float32), noise.astype(np.float32)


def reconstruct(chain, field, mask, noise, grid=GRID):
    local = chain[0].method({"total_field": field, "mask": mask}, grid, chain[0].params, device=DEVICE)
    inside = local["mask"]
    inputs = {"local_field": local["local_field"], "mask": inside}
    if "weight?" in chain[1].method.inputs:
        weight = np.where(noise > 0, np.median(noise[inside]) / np.where(noise > 0, noise, 1), 0)
        inputs["weight"] = np.minimum(weight, 5).astype(np.float32)
    if "noise?" in chain[1].method.inputs:
        inputs["noise"] = noise
    chi = chain[1].method(inputs, grid, chain[1].params, device=DEVICE)["chi"]
    return (chi - chi[inside].mean()) * inside, inside


def agreement(predicted, empirical, inside):
    """Ratio of the root mean squares, median ratio, correlation."""
    p, e = predicted[inside], empirical[inside]
    return np.sqrt((p**2).mean() / (e**2).mean()), np.median(p / e), np.corrcoef(p, e)[0, 1]


@pytest.mark.parametrize("name", CHAINS)
def test_map_is_the_standard_deviation_over_repeated_noise(name):
    field, noise = case()
    chain, rng = CHAINS[name], np.random.default_rng(7)
    found = []
    for _ in range(30):
        draw = (noise * rng.standard_normal(SHAPE)).astype(np.float32)
        chi, inside = reconstruct(chain, field + draw, MASK, noise)
        found.append(chi)
    first = (field + noise * np.random.default_rng(99).standard_normal(SHAPE)).astype(np.float32)
    predicted = monte_carlo(
        first, noise, MASK, GRID, MonteCarloParams(smoothing=4.0), device=DEVICE, chain=chain
    )
    assert not predicted[~inside].any()
    overall, middle, correlation = agreement(predicted, np.std(found, axis=0, ddof=1), inside)
    assert overall == pytest.approx(1.0, abs=0.08)
    assert middle == pytest.approx(1.0, abs=0.12)
    assert correlation > 0.75


def whole_chain(signal, times, head, mask=None):
    """Field, noise and chi from complex echoes: offset, unwrapping, fit, V-SHARP, TKD."""
    magnitude, phase = np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)
    inside = head.mask if mask is None else mask

    def run(stage, name, **inputs):
        shared = {"magnitude": magnitude, "mask": inside, "echo_times": times}
        method = get_method(stage, name)
        return method({**shared, **inputs}, head.grid, method.params(), device=DEVICE)

    phase = run("phase-offset", "mcpc3ds", phase=phase)["phase"]
    unwrapped = run("unwrap", "romeo", phase=phase)["unwrapped"]
    fit = run("field", "weighted_fit", unwrapped=unwrapped)
    return fit["total_field"], fit["noise"]


@pytest.mark.slow
def test_noise_of_field_and_chi_is_that_of_repeated_scans_of_a_head():
    head = virtual_head(voxel_size=(4.0, 4.0, 4.0), seed=5)
    times, rng = head.gre.echo_times, np.random.default_rng(1)
    clean = head.gre.magnitude * np.exp(1j * head.gre.phase)
    sigma = np.median(head.gre.magnitude[..., 0][head.mask]) / 60
    chain = (step("background", "vsharp"), step("inversion", "tkd"))
    fields, maps, reliable = [], [], None
    for _ in range(16):
        noise = sigma * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
        field, spread = whole_chain(clean + noise, times, head)
        if reliable is None:
            check = get_method("reliability", "field_jumps")
            inputs = {"total_field": field, "mask": head.mask}
            reliable = check(inputs, head.grid, check.params(), device=DEVICE)["mask"]
        fields.append(field)
        chi, inside = reconstruct(chain, field, reliable, spread, head.grid)
        maps.append(chi)
    overall, middle, correlation = agreement(spread, np.std(fields, axis=0, ddof=1), inside)
    assert overall == pytest.approx(1.0, abs=0.06)
    assert middle == pytest.approx(1.0, abs=0.06)
    assert correlation > 0.75
    predicted = monte_carlo(
        fields[0], spread, reliable, head.grid, MonteCarloParams(smoothing=4.0), device=DEVICE, chain=chain
    )
    overall, middle, correlation = agreement(predicted, np.std(maps, axis=0, ddof=1), inside)
    assert overall == pytest.approx(1.0, abs=0.08)
    assert middle == pytest.approx(1.0, abs=0.1)
    assert correlation > 0.45


def test_more_draws_and_smoothing_take_noise_off_the_map():
    field, noise = case(3)

    def spread(**params):
        return monte_carlo(
            field, noise, MASK, GRID, MonteCarloParams(**params), device=DEVICE, chain=CHAINS["linear"]
        )

    best = spread(draws=64, smoothing=3.0)
    inside = best > 0
    settings = (
        {"draws": 2, "smoothing": 0.0},
        {"draws": 12, "smoothing": 0.0},
        {"draws": 12, "smoothing": 3.0},
    )
    errors = [np.std(spread(seed=8, **chosen)[inside] / best[inside]) for chosen in settings]
    assert errors[0] > 2 * errors[1]
    assert errors[1] > 2 * errors[2]


def test_noise_level_gives_a_relative_map_its_size():
    field, noise = case(4)
    relative = noise / np.median(noise[MASK])
    level = float(np.median(noise[MASK]))
    absolute = monte_carlo(field, noise, MASK, GRID, MonteCarloParams(), device=DEVICE)
    scaled = monte_carlo(field, relative, MASK, GRID, MonteCarloParams(noise_level=level), device=DEVICE)
    np.testing.assert_allclose(scaled, absolute, rtol=1e-3, atol=1e-7)


def test_named_methods_replace_those_of_the_chain():
    field, noise = case(5)
    params = MonteCarloParams(inversion="tkd")
    named = monte_carlo(field, noise, MASK, GRID, params, device=DEVICE, chain=CHAINS["total variation"])
    chain = (VSHARP, step("inversion", "tkd"))
    given = monte_carlo(field, noise, MASK, GRID, MonteCarloParams(), device=DEVICE, chain=chain)
    np.testing.assert_array_equal(named, given)
    with pytest.raises(UsageError, match="tdk"):
        monte_carlo(field, noise, MASK, GRID, MonteCarloParams(inversion="tdk"), device=DEVICE)


def test_noise_known_nowhere_is_refused():
    field, noise = case(6)
    with pytest.raises(InputError, match="noise is unknown everywhere"):
        monte_carlo(field, 0 * noise, MASK, GRID, MonteCarloParams(), device=DEVICE)
