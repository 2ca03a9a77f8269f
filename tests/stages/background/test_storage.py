"""The same head, stored with other axes, gives the same local field by every background method."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.registry import methods_of
from tests.stages.background.fields import FLAT, ellipsoid, inside_field, outside_field

SHORT = {"pdf": {"iterations": 20}}
"""Parameters: rounding grows over the iterations of an ill-posed problem, a hundredfold from 20 to 60."""

METHODS = [m for n, m in methods_of("background").items() if n != "vsharp" and m.inputs[0] == "total_field"]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), ()), ((0, 1, 2), (0, 1, 2)), ((1, 0, 2), (2,))])
def test_order_and_direction_of_the_axes_do_not_matter(method: Method, axes, flips, device):
    mask, field = ellipsoid(FLAT), (inside_field(FLAT) + outside_field(FLAT)).astype(np.float32)

    def stored(array):
        return np.flip(array.transpose(axes), flips)

    shape, voxel_size, direction = (
        (of[axes[0]], of[axes[1]], of[axes[2]]) for of in (FLAT.shape, FLAT.voxel_size, FLAT.b0_direction)
    )
    grid = Grid.from_voxel_size(cast("Any", shape), voxel_size, field_strength=3.0, b0_direction=direction)
    params = method.params(**SHORT.get(method.name, {}))
    expected = method({"total_field": field, "mask": mask}, FLAT, params, device=device)
    got = method({"total_field": stored(field), "mask": stored(mask)}, grid, params, device=device)
    assert np.array_equal(to_numpy(got["mask"]), stored(to_numpy(expected["mask"])))
    difference = np.abs(to_numpy(got["local_field"]) - stored(to_numpy(expected["local_field"]))).max()
    assert difference <= 1e-5
