"""What the inversions share: data weights on the solver's grid."""

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.stages.inversion.setup import inside_weight


@pytest.mark.parametrize(("scale", "statistic"), [("mean", np.mean), ("largest", np.max)])
def test_weights_are_divided_by_their_mean_or_largest_value_in_the_mask(device, rng, scale, statistic):
    shape = (9, 8, 7)
    mask = np.zeros(shape, bool)
    mask[2:7, 2:6, 1:6] = True
    weight = rng.uniform(1.0, 4.0, shape).astype(np.float32)
    grid = Grid(shape, np.eye(4), 3.0)
    inside = device.asarray(mask, bool)
    domain = Domain.for_kernel(inside, grid, 0.0, device)
    scaled = domain.extract(inside_weight(domain, inside, device.asarray(weight), scale=scale))
    expected = np.where(mask, weight / statistic(weight[mask]), 0)
    assert scaled.dtype == np.float32
    assert to_numpy(scaled) == pytest.approx(expected, rel=1e-6)
