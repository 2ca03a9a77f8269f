"""High-pass filtered phase among raw phase."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.io.filtered_phase import filtered_notes
from qsmengine.io.gre import load_gre
from qsmengine.phantom import virtual_head
from tests.made_sessions import make_ball, write_ball


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(5.0, 5.0, 5.0), snr=50.0, seed=3).gre


def filtered(magnitude, phase, width):
    signal = magnitude * np.exp(1j * phase)
    slow = gaussian_filter(signal.real, width) + 1j * gaussian_filter(signal.imag, width)
    return np.angle(signal * np.conj(slow)).astype(np.float32)


@pytest.mark.parametrize("echo", [0, 3])
def test_a_filtered_phase_is_noted_and_a_raw_one_is_not(head, echo):
    magnitude, phase = head.magnitude[..., echo], head.phase[..., echo]
    assert filtered_notes(magnitude, phase, "p.nii") == []
    assert filtered_notes(magnitude, np.zeros_like(phase) + 1, "p.nii") == []
    (note,) = filtered_notes(magnitude, filtered(magnitude, phase, 2.0), "p.nii")
    assert note.startswith("p.nii: the phase has no slow variation")


def test_images_without_signal_pass():
    assert filtered_notes(np.zeros((9, 8, 7)), np.ones((9, 8, 7)), "p.nii") == []


def test_a_series_is_judged_by_its_last_echo(tmp_path):
    ball = make_ball(3)
    images = np.stack(
        [filtered(ball.series.magnitude[..., k], ball.series.phase[..., k], 2.0) for k in range(3)], 3
    )
    for folder, phase, count in (("raw", ball.series.phase, 0), ("filtered", images, 1)):
        made = replace(ball, series=replace(ball.series, phase=phase))
        files = write_ball(tmp_path / folder, made)
        notes = [note for note in load_gre(files["mag"], files["phase"]).notes if "slow variation" in note]
        assert len(notes) == count
        assert all("echo-3_part-phase" in note for note in notes)
