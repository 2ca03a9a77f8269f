from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.laplacian import WRAPPED_LAPLACIAN
from tests.stages.gre import DEVICE, wrapped


@pytest.mark.parametrize("shape", [(5, 6, 7), (4, 3, 2), (3, 1, 1), (1, 5, 3), (2, 2, 70)])
def test_laplacian_is_the_sum_of_wrapped_steps_inside_the_mask(shape):
    rng = np.random.default_rng(7)
    phase = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    mask = rng.random(shape) > 0.25
    weights = (1.0, 0.4, 2.5)
    laplacian = DEVICE.empty(shape)
    launch(
        WRAPPED_LAPLACIAN, DEVICE, phase=phase, mask=mask.view(np.uint8), laplacian=laplacian,
        wx=weights[0], wy=weights[1], wz=weights[2],
    )  # fmt: skip
    expected = np.zeros(shape)
    for axis, weight in enumerate(weights):
        here, there = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        step = weight * wrapped(phase[there] - phase[here]) * (mask[here] & mask[there])
        expected[here] += step
        expected[there] -= step
    np.testing.assert_allclose(laplacian, expected, atol=1e-5)
    assert (laplacian[~mask] == 0).all()
