"""Priors follow the transit time and the delay of the neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.local import block_curves, local_prior, neighbourhood, onto_voxels
from qsmengine.stages.perfusion.residue import EXPONENTIAL
from qsmengine.stages.perfusion.transit import TransitParams
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.curves import PLAIN, STEP, TIMES, artery, exponential

SHAPE = (24, 10, 8)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]), 3.0)
FAST, SLOW = 3.0, 7.0
"""Transit times [s] of the two halves."""
EARLY, LATE = 15.5, 18.0
"""Their arrivals [s]; the artery's is 15 s."""
MASK = np.pad(np.ones((22, 8, 6), bool), 1)


def halves(noise: float, seed: int = 3) -> Any:
    """Curves (x, y, z, frame) of a mask whose halves have their own transit times and delays; flow 0.01 / s."""
    change = np.zeros((*SHAPE, TIMES.size))
    change[:12], change[12:] = exponential(TIMES, FAST, EARLY), exponential(TIMES, SLOW, LATE)
    change *= 0.01
    change += noise * change.max() * np.random.default_rng(seed).normal(size=change.shape)
    return (change * MASK[..., None]).astype(np.float32)


def test_priors_are_those_of_the_neighbourhood(device: Device) -> None:
    curves = curves_of(halves(0.1), MASK, tuple(TIMES), GRID, device)
    near = neighbourhood(curves, TransitParams(), GRID, device)
    prior = local_prior(curves, near, artery(TIMES), TransitParams(), EXPONENTIAL, "trapezoid", device)
    transit = STEP * np.exp(to_numpy(curves.planes.unflatten(prior.middle)))
    delay = STEP * to_numpy(curves.planes.unflatten(prior.arrival))
    for part, mean, arrival in ((slice(2, 9), FAST, EARLY), (slice(15, 22), SLOW, LATE)):
        inside = (part, slice(1, 9), slice(1, 7))
        np.testing.assert_allclose(transit[inside], mean, rtol=0.2)
        np.testing.assert_allclose(delay[inside], arrival - 15.0, atol=0.5)


def test_flows_of_tissues_with_different_transit_times_are_not_drawn_together(device: Device) -> None:
    method = get_method("deconvolution", "exponential")
    inputs = {"dr2star": halves(0.25), "mask": MASK, "frame_times": tuple(TIMES), "aif": artery(TIMES)}
    inner = (slice(1, 9), slice(1, 7))

    def flows(block: float) -> Any:
        params = method.params.model_validate({**PLAIN, "block": block})
        image = to_numpy(method(inputs, GRID, params, device=device)["cbf"])
        return np.array([image[(slice(2, 10), *inner)].mean(), image[(slice(14, 22), *inner)].mean()])

    local, whole = np.abs(flows(6.0) / 60.0 - 1), np.abs(flows(100.0) / 60.0 - 1)
    assert local.max() <= 0.08
    assert whole.max() > local.max()


def test_block_curves_leave_out_voxels(device: Device) -> None:
    rng = np.random.default_rng(6)
    change = rng.normal(size=(*SHAPE, TIMES.size)).astype(np.float32)
    usual = MASK & (rng.uniform(size=SHAPE) < 0.5)
    usual[:2, :2, :2] = False
    curves = curves_of(change, MASK, tuple(TIMES), GRID, device)
    chosen = device.asarray(curves.planes.flatten(device.asarray(usual, bool)), bool)
    blocks, share = block_curves(curves, chosen, (2, 2, 2), device)
    found = to_numpy(blocks.planes.unflatten(blocks.planes.array))
    shares = to_numpy(share).reshape([n // 2 for n in SHAPE])
    for place in ((0, 0, 0), (3, 2, 1), (11, 4, 3)):
        voxels = tuple(slice(2 * i, 2 * i + 2) for i in place)
        inside = usual[voxels]
        assert shares[place] == pytest.approx(inside.mean(), abs=1e-6)
        expected = change[voxels][inside].mean(axis=0) if inside.any() else 0.0
        np.testing.assert_allclose(found[place], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 6, 1), (10, 7, 5)])
def test_interpolation_is_linear_between_the_centres_of_blocks(shape: tuple[int, int, int]) -> None:
    rng, device, factors = np.random.default_rng(2), cpu(2), (3, 2, 4)
    sizes = [-(-n // f) + (f % 2 * (-(-n // f) - n)) % 2 for n, f in zip(shape, factors, strict=True)]
    values = rng.normal(size=sizes).astype(np.float32)
    found = onto_voxels(values.reshape(-1), shape, factors, device).reshape(shape)
    mirrored = onto_voxels(np.ascontiguousarray(values[::-1, :, ::-1]).reshape(-1), shape, factors, device)
    np.testing.assert_allclose(mirrored.reshape(shape)[::-1, :, ::-1], found, atol=1e-6)
    constant = onto_voxels(np.full(values.size, 3.5, np.float32), shape, factors, device)
    np.testing.assert_array_equal(constant, 3.5)
    ramp = np.broadcast_to(np.arange(sizes[0], dtype=np.float32)[:, None, None], sizes)
    along = onto_voxels(np.ascontiguousarray(ramp).reshape(-1), shape, factors, device).reshape(shape)[:, 0, 0]
    steps = np.diff(along)[(along[1:] < sizes[0] - 1) & (along[:-1] > 0)]
    np.testing.assert_allclose(steps, 1 / factors[0], atol=1e-5)
    assert steps.size
