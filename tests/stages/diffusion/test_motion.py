"""Motion between volumes: undone with known transforms, and found by registration."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.ops.registration import rotation_of
from qsmengine.phantom.scheme import default_scheme
from qsmengine.stages.diffusion.motion import MotionParams, apply_transforms, correct_motion, predict
from qsmengine.stages.diffusion.tensor import TensorParams, wls
from tests.stages.diffusion.moving import motions, moved_series, smooth_head

CPU = cpu(2)


def fitted(series, mask):
    table = series.b_values, series.b_vectors
    return wls(series.signal, mask, *table, series.grid, TensorParams(), device=CPU)


def moving_case(rng, degrees, mm, level=0.002, **table):
    grid, mask, s0, tensor = smooth_head(rng)
    b, g = default_scheme(**{"directions": 12, "b_value": 1000.0, "b0_volumes": 2, **table})
    matrices = motions(rng, grid, len(b), degrees, mm)
    moved = moved_series(tensor, s0, b, g, grid, matrices, rng, level)
    still = moved_series(tensor, s0, b, g, grid, np.tile(np.eye(4), (len(b), 1, 1)), rng, 0.0)
    return moved, still, mask, matrices


def test_known_motion_is_undone_and_gradients_turn_along(rng):
    moved, still, mask, matrices = moving_case(rng, 15.0, 4.0)
    truth = fitted(still, mask)
    corrected = apply_transforms(moved, matrices)
    unturned = DwiSeries(corrected.signal, moved.b_values, moved.b_vectors, moved.grid)
    error = {
        name: np.abs(fitted(series, mask).fa - truth.fa)[mask].mean()
        for name, series in (("moved", moved), ("unturned", unturned), ("corrected", corrected))
    }
    assert error["corrected"] < 0.4 * error["unturned"] < 0.4 * error["moved"]
    cosine = np.abs((fitted(corrected, mask).v1 * truth.v1).sum(axis=-1))[mask]
    assert np.rad2deg(np.arccos(np.clip(np.median(cosine), 0, 1))) < 3.0
    np.testing.assert_allclose(np.linalg.norm(corrected.b_vectors[2:], axis=1), 1.0, atol=1e-12)


def test_registration_takes_b0_first_then_predictions_of_the_same_contrast(rng):
    moved, still, mask, matrices = moving_case(rng, 3.0, 2.0)
    calls = []

    def find(fixed, moving, voxel_size, kind):
        v = next(i for i in range(14) if np.array_equal(moving, moved.signal[..., i]))
        likeness = np.corrcoef(fixed[mask], still.signal[..., v][mask])[0, 1]
        calls.append((v, kind, likeness))
        return matrices[v]

    told = []
    result = correct_motion(
        moved,
        mask,
        MotionParams(),
        device=CPU,
        find=find,
        progress=lambda done, total: told.append((done, total)),
    )
    np.testing.assert_array_equal(result.matrices, matrices)
    assert [call[:2] for call in calls[:13]] == [(1, "rigid"), *((v, "affine") for v in range(2, 14))]
    assert [call[0] for call in calls[13:]] == list(range(2, 14))
    assert min(call[2] for call in calls[13:]) > 0.98 > np.median([call[2] for call in calls[1:13]])
    assert told == [(i, 25) for i in range(1, 26)]
    before, after = (np.abs(s.signal - still.signal)[mask].mean() for s in (moved, result.series))
    assert after < 0.25 * before


def test_prediction_is_that_of_the_fitted_tensor(rng, device):
    _, still, mask, _ = moving_case(rng, 0.0, 0.0)
    still.signal[..., 7] *= 0.3  # does not take part in its own prediction
    expected = predict(still, 7, mask, device)
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose(expected[mask], still.signal[mask][:, 7] / 0.3, rtol=2e-3)
    assert (expected[~mask] == 0).all()


def test_a_series_without_b0_is_refused(rng):
    grid, mask, _, _ = smooth_head(rng)
    series = DwiSeries(np.ones((*grid.shape, 2), np.float32), np.array([1e3, 1e3]), np.eye(3)[:2], grid)
    with pytest.raises(InputError, match="nothing to register to"):
        correct_motion(series, mask, MotionParams(), device=CPU)


@pytest.mark.slow
def test_known_motion_of_a_virtual_head_is_found(rng):
    pytest.importorskip("ants", reason="antspyx is not installed")
    from qsmengine.phantom.head import virtual_head

    b, g = default_scheme(12, 1000.0, 2)
    head = virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=("dwi",), scheme=(b, g))
    mask, grid = head.mask, head.grid
    rest = fitted(head.dwi, np.ones(mask.shape, bool))
    matrices = motions(rng, grid, len(b), 3.0, 4.0)
    level = float(0.025 * rest.s0[mask].mean() / rest.s0.max())
    moved = moved_series(rest.tensor, rest.s0, b, g, grid, matrices, rng, level)
    result = correct_motion(moved, mask, MotionParams(model="rigid"), device=CPU)
    points = np.argwhere(mask)[::20] * np.asarray(grid.voxel_size)
    angles = []
    for found, true in zip(result.matrices, matrices, strict=True):
        apart = points @ (found - true)[:3, :3].T + (found - true)[:3, 3]
        assert np.linalg.norm(apart, axis=1).mean() <= 0.2 * 4.0
        cosine = (np.trace(rotation_of(found).T @ true[:3, :3]) - 1) / 2
        angles.append(np.rad2deg(np.arccos(min(cosine, 1.0))))
    assert np.median(angles) <= 0.35
    assert max(angles) <= 0.8
    before, after = (np.abs(fitted(s, mask).fa - rest.fa)[mask].mean() for s in (moved, result.series))
    assert after < 0.5 * before
