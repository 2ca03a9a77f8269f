"""Phase stored in another orientation than the magnitude."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io import load_gre
from qsmengine.io.mirrored_phase import check_mirrored_phase
from qsmengine.phantom import virtual_head

AXES = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]


@pytest.fixture(scope="module")
def head():
    series = virtual_head(voxel_size=(2.0, 2.0, 2.0), snr=40.0, seed=5).gre
    return series.magnitude, series.phase


@pytest.mark.parametrize("echo", [0, 1])
@pytest.mark.parametrize("axes", AXES)
def test_mirrored_phase_of_a_real_head_is_refused_and_named(real_echoes, axes, echo):
    magnitude, phase = (image[..., echo] for image in real_echoes)
    with pytest.raises(InputError, match=rf"^p: affine: the phase is mirrored along {'xyz'[axes[0]]}"):
        check_mirrored_phase(magnitude, np.flip(phase, axes), ["p", "p"])


@pytest.mark.parametrize("axes", AXES)
def test_mirrored_phase_of_a_drawn_head_is_refused(head, axes):
    magnitude, phase = (image[..., 0] for image in head)
    with pytest.raises(InputError, match="the phase is mirrored"):
        check_mirrored_phase(magnitude, np.flip(phase, axes), ["p"])


def test_heads_as_stored_and_heads_mirrored_as_a_whole_pass(real_echoes, head):
    for magnitude, phase in (real_echoes, head):
        for echo in range(magnitude.shape[3]):
            check_mirrored_phase(magnitude[..., echo], phase[..., echo], ["p"])
            check_mirrored_phase(magnitude[:, ::-1, :, echo], phase[:, ::-1, :, echo], ["p"])


def test_phase_of_the_other_sign_and_with_another_offset_passes(real_echoes):
    check_mirrored_phase(real_echoes[0][..., 0], 1.0 - real_echoes[1][..., 0], ["p"])


@pytest.mark.parametrize("shape", [(40, 44, 36), (5, 6, 1), (1, 1, 1)])
def test_images_that_do_not_decide_pass(rng, shape):
    noise = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    check_mirrored_phase(rng.uniform(0, 1, shape).astype(np.float32), noise, ["p"])
    check_mirrored_phase(np.zeros(shape, np.float32), noise, ["p"])
    ball = (np.linalg.norm(np.indices(shape) - np.reshape(shape, (3, 1, 1, 1)) / 2, axis=0) < 15) * 100.0
    check_mirrored_phase(ball.astype(np.float32), np.where(ball > 0, 0.1, noise).astype(np.float32), ["p"])


def test_a_series_with_mirrored_phase_is_refused_when_it_is_loaded(head, save):
    side = {"EchoTime": 0.004, "MagneticFieldStrength": 3}
    magnitude = save("magnitude.nii", head[0][..., 0], sidecar=side)
    phase = save("phase.nii", np.flip(head[1][..., 0], 0), sidecar=side)
    with pytest.raises(InputError, match=r"phase\.nii: affine: the phase is mirrored along x"):
        load_gre([magnitude], [phase])


def test_phase_is_compared_without_scipy_and_masked_arrays():
    code = (
        "import sys; import numpy as np; from qsmengine.io.mirrored_phase import check_mirrored_phase;"
        "images = np.random.default_rng(1).uniform(size=(2, 30, 32, 28)).astype(np.float32);"
        "check_mirrored_phase(*images, ['p']);"
        "assert not [m for m in sys.modules if m.startswith('scipy') or m == 'numpy.ma']"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
