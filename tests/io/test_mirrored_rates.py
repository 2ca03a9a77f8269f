"""R2 stored in another orientation than R2*."""

from pathlib import Path

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.mirrored_rates import check_mirrored_rates

PATH = Path("sub-01_R2map.nii.gz")
SHAPE = (20, 22, 18)


@pytest.fixture
def rates(rng):
    """R2 and R2* [1/s] of three tissues in random places, with noise, and a mask that is not symmetrical."""
    tissue = rng.integers(0, 3, SHAPE)
    mask = np.zeros(SHAPE)
    mask[2:16, 3:20, 4:17] = 1
    r2 = np.array([10.0, 14.0, 25.0])[tissue] + rng.normal(0, 1, SHAPE)
    r2star = np.array([16.0, 21.0, 40.0])[tissue] + rng.normal(0, 2, SHAPE)
    return r2, np.where(mask, r2star, 0.0), mask


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2)])
def test_a_mirrored_map_is_refused(rates, axes, masked):
    r2, r2star, mask = rates
    r2 = r2 * mask if masked else r2
    check_mirrored_rates(r2, r2star, mask, PATH)
    named = ", ".join("xyz"[axis] for axis in axes)
    with pytest.raises(InputError, match=rf"R2map\.nii\.gz: affine: R2 and .* mirrored along {named} of"):
        check_mirrored_rates(np.flip(r2, axes), r2star, mask, PATH)


def test_maps_that_do_not_decide_pass(rates, rng):
    r2, r2star, mask = rates
    check_mirrored_rates(rng.uniform(5, 30, SHAPE), r2star, mask, PATH)
    check_mirrored_rates(np.full(SHAPE, 12.0), r2star, mask, PATH)
    check_mirrored_rates(0 * r2, r2star, mask, PATH)
