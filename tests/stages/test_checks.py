"""What every method refuses, whatever it computes."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.errors import InputError, NumericalError
from qsmengine.grid import Grid
from qsmengine.stages.checks import check_inputs, check_results
from qsmengine.stages.registry import all_methods

SHAPE = (12, 11, 10)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 1.0), field_strength=3.0)
WEIGHTED = [m for m in all_methods() if m.stage == "inversion" and {"weight", "weight?"} & set(m.inputs)]


@pytest.fixture
def images(rng):
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    field = (rng.normal(size=SHAPE) * 0.01).astype(np.float32)
    return {"local_field": field, "mask": mask}


@pytest.mark.parametrize("method", WEIGHTED, ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "no data would be used"),
        (-1.0, "no data would be used"),
        (1e200, r"exceeds 1e\+15"),
        (np.nan, "finite"),
    ],
)
def test_no_inversion_takes_a_weight_that_leaves_no_data(images, method, value, message):
    needed = {name: np.ones((*SHAPE, 1), np.float32) for name in method.required_inputs if name == "magnitude"}
    with pytest.raises(InputError, match=message):
        method({**images, **needed, "weight": np.full(SHAPE, value)}, GRID, method.params(), device=cpu(1))


def test_negative_weights_are_refused_with_the_smallest(images, rng):
    weight = np.ones(SHAPE, np.float32)
    weight[6, 6, 6] = -0.25
    with pytest.raises(InputError, match=r"smallest is -0\.25"):
        check_inputs({**images, "weight": weight}, GRID)
    weight[6, 6, 6], weight[0, 0, 0] = 0.0, -1.0
    check_inputs({**images, "weight": weight}, GRID)


def test_complex_images_are_refused(images):
    with pytest.raises(InputError, match="local_field is complex"):
        check_inputs({**images, "local_field": images["local_field"] * 1j}, GRID)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_beyond_the_range_are_refused_inside_the_mask_only(images, dtype, order):
    field = np.array(images["local_field"], dtype, order=order)
    field[0, 0, 0] = 1e30
    check_inputs({**images, "local_field": field}, GRID)
    field[6, 6, 6] = -1e30
    with pytest.raises(InputError, match=r"exceeds 1e\+15 \(rescale it\) in 1 voxels inside the mask"):
        check_inputs({**images, "local_field": field}, GRID)
    strided = np.repeat(field, 2, axis=2)[:, :, ::2]
    with pytest.raises(InputError, match=r"exceeds 1e\+15"):
        check_inputs({**images, "local_field": strided}, GRID)


def test_results_that_are_not_finite_are_an_error_and_not_a_result(images):
    chi = images["local_field"].copy()
    check_results({"chi": chi, "iterations": np.float64(np.nan)}, "inversion method x")
    chi[3, 3, 3] = np.inf
    with pytest.raises(NumericalError, match="inversion method x: chi is NaN or infinite in 1 voxels"):
        check_results({"chi": chi}, "inversion method x")
