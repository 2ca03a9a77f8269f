from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.phantom.head import virtual_head
from qsmengine.stages.inversion.csf_reference import CsfParams, csf, ventricles
from qsmengine.stages.relaxometry.arlo import ArloParams, arlo
from tests.stages.gre import DEVICE

CSF_LABELS = (4, 5, 14, 15, 24, 43, 44)


def brain(voxel_size):
    """Ball of 45 mm; two ventricles beside the centre; fluid around the ball from 38 mm on."""
    shape = tuple(round(100 / h) for h in voxel_size)
    grid = Grid.from_voxel_size(shape, voxel_size, field_strength=3.0)
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, voxel_size, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    inner = ((abs(x) - 9) / 5) ** 2 + (y / 14) ** 2 + (z / 6) ** 2 < 1
    rate = np.where(inner | (radius > 38), 1.5, 20.0)
    return grid, radius < 45, inner, rate


@pytest.mark.parametrize("voxel_size", [(1.5, 1.5, 1.5), (1.0, 1.0, 3.0)])
def test_ventricles_are_found_and_the_fluid_around_the_brain_is_not(voxel_size, rng):
    grid, mask, inner, rate = brain(voxel_size)
    noisy = rate + 1.5 * rng.standard_normal(grid.shape)
    found = ventricles(noisy, mask, grid, CsfParams(), device=DEVICE)
    assert found.sum() > 0.35 * inner.sum()
    assert (found & inner).sum() > 0.99 * found.sum()
    left, right = np.array_split(found, 2, axis=0)
    assert min(left.sum(), right.sum()) > 0.4 * max(left.sum(), right.sum())


def test_chi_is_relative_to_the_mean_over_the_region(rng):
    grid, mask, _, rate = brain((2.0, 2.0, 2.0))
    chi = rng.normal(0.03, 0.05, grid.shape).astype(np.float32)
    result = csf(chi, rate, mask, grid, CsfParams(), device=DEVICE)
    values = chi[result.csf_mask].astype(float)
    assert (result.value, result.sd, result.count) == pytest.approx((values.mean(), values.std(), values.size))
    np.testing.assert_allclose(result.chi, np.where(mask, chi - values.mean(), 0), atol=1e-6)


def test_brain_without_fluid_is_an_error_that_says_what_to_do():
    grid, mask, inner, rate = brain((2.0, 2.0, 2.0))
    rate[inner] = 20.0
    with pytest.raises(InputError, match=r"no cerebrospinal fluid.*within 30 mm.*region_mean"):
        csf(rate, rate, mask, grid, CsfParams(), device=DEVICE)


def test_ventricles_of_a_virtual_head_hold_fluid_only():
    head = virtual_head(voxel_size=(3.0, 3.0, 3.0), snr=60, seed=2)
    rate = arlo(
        head.gre.magnitude, head.mask, head.gre.echo_times, head.grid, ArloParams(), device=DEVICE
    ).r2star
    result = csf(head.truth["chi"].array, rate, head.mask, head.grid, CsfParams(), device=DEVICE)
    assert np.isin(head.labels[result.csf_mask], CSF_LABELS).mean() > 0.98
    assert result.count > 300
    assert abs(result.value) < 2e-3
