"""The phase offset of a single echo: a conducting head's bowl is removed, sources inside are kept."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.single_step.boundary import boundary_values
from qsmengine.stages.single_step.offset import weight_with_offset, without_bowl
from tests.stages.inversion.heads import SHAPE, head, nrmse
from tests.stages.single_step.test_tfi import background, invert

ECHO_TIME = 0.005
HEIGHT = 2 * 4e-7 * np.pi * 0.6 / ECHO_TIME
"""Laplacian of the field of 0.6 S/m [ppm/mm^2]: 2 mu_0 sigma / TE, in ppm (1e6) per mm^2 (1e-6)."""


def bowl(grid, rng):
    """A field of this Laplacian around another point than the middle, with a harmonic part."""
    x, y, z = np.meshgrid(
        *((np.arange(n) - c) * h for n, c, h in zip(SHAPE, (10, 20, 15), grid.voxel_size, strict=True)),
        indexing="ij",
    )
    return HEIGHT * (0.25 * x * x + 0.15 * y * y + 0.1 * z * z) + 0.01 * rng.normal() * x


def test_a_bowl_of_any_centre_is_removed_and_fields_of_sources_inside_stay(device, rng):
    _, mask, field, grid = head(rng)
    known = device.asarray(mask, bool)

    def local(total):
        inner, found = boundary_values(device.asarray(total.astype(np.float32)), known, grid, 1e-5, device)
        return inner, found, to_numpy(without_bowl(found, known, inner, grid, 1e-5, device))

    inner, plain, kept = local(field)
    inside = to_numpy(inner)
    _, curved, flat = local(field + bowl(grid, rng))
    assert np.linalg.norm(to_numpy(curved - plain)) > 0.3 * np.linalg.norm(to_numpy(plain))
    assert nrmse(flat, kept, inside) < 0.01
    assert nrmse(kept, to_numpy(plain), inside) < 0.1
    assert abs(flat[inside].mean()) < 1e-3 * np.abs(flat[inside]).mean()


def test_one_echo_with_the_phase_of_conduction_is_inverted_as_if_it_had_none(device, rng):
    chi, mask, field, grid = head(rng)
    total = field + background(grid)
    shaded = total + bowl(grid, rng)
    free, one, several = (
        nrmse(invert(image, mask, grid, device, echo_times=times)[0], chi, mask)
        for image, times in ((total, None), (shaded, (ECHO_TIME,)), (shaded, (ECHO_TIME, 0.01)))
    )
    assert one <= free + 0.08
    assert several > 1.5 * one


def test_the_weight_of_the_background_falls_with_the_square_of_short_echo_times():
    assert weight_with_offset(150.0, 80.0, 0.02) == pytest.approx(1 / (1 / 150 + 1 / 80))
    short = [weight_with_offset(150.0, 80.0, time) for time in (0.001, 0.002)]
    assert short[1] / short[0] == pytest.approx(4, rel=0.01)
    assert weight_with_offset(150.0, 80.0, 10.0) == pytest.approx(150, rel=1e-4)
