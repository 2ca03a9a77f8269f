import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.data import DscSeries
from qsmengine.errors import DeviceError, InputError
from qsmengine.grid import Grid
from qsmengine.modalities.dsc.motion import correct_motion, framewise_displacement, motion_parameters
from qsmengine.ops.registration import resample
from tests.stages.diffusion.moving import turn

GRID = Grid((24, 26, 20), np.diag([2.0, 2.0, 3.0, 1.0]))
FRAMES = 6


@pytest.fixture
def still(rng):
    """Two echoes of a smooth object that does not move; the second is weaker."""
    image = (3 + gaussian_filter(rng.normal(size=GRID.shape), 2.5)).astype(np.float32)
    signal = np.repeat(image[..., None], FRAMES, axis=3)
    return DscSeries((signal, signal * np.float32(0.5)), (0.01, 0.03), 1.5, GRID)


def matrix(shift, angles=(0, 0, 0)):
    found = np.eye(4)
    centre = (np.array(GRID.shape) - 1) / 2 * GRID.voxel_size
    found[:3, :3] = turn(angles)
    found[:3, 3] = centre - found[:3, :3] @ centre + shift
    return found


def test_frames_are_moved_back_in_every_echo(still):
    true = [np.eye(4)] * 3 + [matrix([1.0, -0.6, 0.9], [0.0, 0.0, 0.03])] * 3
    moved = [
        np.stack([resample(s[..., k], np.linalg.inv(true[k]), GRID.voxel_size) for k in range(FRAMES)], axis=3)
        for s in still.signals
    ]
    seen = []

    def find(fixed, moving, size, kind):
        assert kind == "rigid"
        np.testing.assert_allclose(fixed, still.signals[0][..., 0], rtol=1e-5)
        seen.append(moving)
        return true[len(seen) - 1]

    mask = np.ones(GRID.shape, bool)
    found = correct_motion(replace(still, signals=tuple(moved)), slice(0, 3), mask, find=find)
    inner = (slice(5, -5),) * 3
    for echo, signal in enumerate(found.series.signals):
        expected = still.signals[echo]
        error = np.abs(signal - expected)[inner].max()
        assert error < 0.2 * np.abs(moved[echo] - expected)[inner].max()
    assert found.displacement[:3].tolist() == [0, 0, 0]
    assert found.displacement[3] == pytest.approx(2.5 + 50 * 0.03, rel=0.01)
    assert found.displacement[4:].tolist() == [0, 0]
    assert "4.00 mm at most" in found.note


def test_progress_counts_every_frame(still):
    seen = []
    mask = np.ones(GRID.shape, bool)
    correct_motion(
        still, slice(1, 3), mask, find=lambda *_: np.eye(4), progress=lambda k, n: seen.append((k, n))
    )
    assert seen == [(k + 1, FRAMES) for k in range(FRAMES)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parameters_are_those_of_the_transform(axis):
    centre = (np.array(GRID.shape) - 1) / 2 * GRID.voxel_size
    angles = np.zeros(3)
    angles[axis] = 0.04
    found = motion_parameters(matrix([0.5, 1.5, -2.0], angles), centre)
    np.testing.assert_allclose(found[:3], [0.5, 1.5, -2.0], atol=1e-9)
    np.testing.assert_allclose(found[3:], angles, atol=1e-6)


def test_displacement_follows_the_centre_not_the_corner():
    centre = (np.array(GRID.shape) - 1) / 2 * GRID.voxel_size
    found = framewise_displacement(np.array([np.eye(4), matrix([0, 0, 0], [0, 0, 0.02])]), centre)
    assert found.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


def test_without_baseline_or_library_nothing_is_registered(still, monkeypatch):
    mask = np.ones(GRID.shape, bool)
    with pytest.raises(InputError, match="baseline has no frame"):
        correct_motion(still, slice(4, 4), mask)
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(DeviceError, match=r"pip install 'qsmengine\[registration\]'"):
        correct_motion(still, slice(0, 3), mask)
