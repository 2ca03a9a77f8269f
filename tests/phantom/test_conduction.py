"""The phase of a conducting head."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.artefacts import Artefacts
from qsmengine.phantom.conduction import GREY, MU_0, conduction_phase
from qsmengine.phantom.labels import HeadIndex, Region
from qsmengine.units import rad_per_ppm


def ball(size=60, voxel=2.0, radius=44.0):
    """Cortex in air."""
    axis = (np.arange(size) - (size - 1) / 2) * voxel
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    squared = x * x + y * y + z * z
    regions = (Region(0, "air", "n/a", "air", brain=False), Region(3, "cortex", "n/a", "cortex", brain=True))
    grid = Grid.from_voxel_size((size,) * 3, (voxel,) * 3)
    return HeadIndex((squared < radius**2).astype(np.uint8), regions, grid), squared, radius


def test_the_phase_of_a_ball_is_that_of_the_closed_form():
    head, squared, radius = ball()
    phase = conduction_phase(head, 3.0)
    omega = 1e6 * rad_per_ppm(3.0, 1.0)
    laplacian = 2 * MU_0 * omega * GREY * 1e-6
    expected = laplacian * (squared - 3 * radius**2) / 6
    inside = head.index > 0
    assert laplacian == pytest.approx(1.17e-3, rel=0.01)
    np.testing.assert_allclose(phase[inside], expected[inside], rtol=0.03)


def test_the_offset_is_proportional_to_the_conductivity_and_absent_without_it():
    head, _, _ = ball(30, 4.0)
    whole, half = (Artefacts(conduction=share).offset(head, 3.0) for share in (1.0, 0.5))
    np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-6)
    assert Artefacts().offset(head, 3.0) is None
