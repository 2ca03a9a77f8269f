"""Proton density and receive field."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.proton_density import PseudoDensityParams, pseudo_density
from tests.stages.gre import DEVICE, grid_of

SHAPE = (30, 32, 28)


@pytest.fixture(scope="module")
def brain():
    """Proton density, R1 and receive field (x, y, z), and a mask."""
    rng = np.random.default_rng(1)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    r1 = rng.choice([0.25, 0.75, 1.2], SHAPE, p=[0.1, 0.5, 0.4])
    density = (1 + 0.02 * rng.normal(size=SHAPE)) / (0.916 + 0.436 * r1)
    field = 3000 * np.exp(0.3 * x - 0.4 * (y**2 + z**2) + 0.1 * x * y)
    return density, r1, field, x**2 + y**2 + z**2 < 0.95


def test_density_and_field_are_recovered(brain):
    density, r1, field, mask = brain
    result = pseudo_density(density * field, r1, mask, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
    np.testing.assert_allclose(result.pd[mask], density[mask], rtol=0.02)
    np.testing.assert_allclose(result.receive_field[mask], field[mask], rtol=0.02)
    assert not result.pd[~mask].any()


def test_without_noise_and_deviations_the_density_is_exact(brain):
    _, r1, field, mask = brain
    density = 1 / (0.916 + 0.436 * r1)
    result = pseudo_density(density * field, r1, mask, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
    np.testing.assert_allclose(result.pd[mask], density[mask], rtol=1e-4)


def test_lesions_that_break_the_relation_keep_their_density(brain):
    density, r1, field, mask = brain
    lesion = np.zeros(SHAPE, bool)
    lesion[10:14, 12:16, 10:14] = True
    changed = np.where(lesion, 1.25 * density, density)
    result = pseudo_density(changed * field, r1, mask, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
    assert result.pd[lesion].mean() == pytest.approx(changed[lesion].mean(), rel=0.02)


def test_the_unit_of_the_signal_does_not_matter(brain):
    density, r1, field, mask = brain
    one, other = (
        pseudo_density(k * density * field, r1, mask, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
        for k in (1.0, 1e-3)
    )
    np.testing.assert_allclose(other.pd, one.pd, rtol=1e-4)
    np.testing.assert_allclose(other.receive_field, 1e-3 * one.receive_field, rtol=1e-4)


def test_voxels_without_signal_are_zero_and_small_masks_refused(brain):
    density, r1, field, mask = brain
    amplitude = density * field
    amplitude[15, 16, 14] = 0.0
    result = pseudo_density(amplitude, r1, mask, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
    assert result.pd[15, 16, 14] == 0
    small = np.zeros(SHAPE, bool)
    small[14:18, 14:18, 14:18] = True
    with pytest.raises(InputError, match="voxels with signal"):
        pseudo_density(amplitude, r1, small, grid_of(SHAPE), PseudoDensityParams(), device=DEVICE)
