import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.errors import InputError
from qsmengine.io import load_gre
from qsmengine.io.orientation import check_orientation, smoothed
from qsmengine.phantom import virtual_head

PARTS = ("magnitude", "phase")


@pytest.fixture(scope="module")
def head():
    series = virtual_head(voxel_size=(3.0, 3.0, 3.0), snr=20.0, seed=2).gre
    return series.magnitude, series.phase


def check(magnitude, phase):
    count = magnitude.shape[3]
    check_orientation(magnitude, phase, *([f"{part}-{e + 1}" for e in range(count)] for part in PARTS))


def mirrored(arrays, part, echo, axes):
    changed = [array.copy() for array in arrays]
    changed[part][..., echo] = np.flip(changed[part][..., echo], axes)
    return changed


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1)])
@pytest.mark.parametrize("echo", [0, 1, 3])
@pytest.mark.parametrize("part", [0, 1])
def test_one_mirrored_echo_is_refused_and_its_file_named(head, part, echo, axes):
    named = rf"^{PARTS[part]}-{echo + 1}: affine: echo {echo + 1} is mirrored along {'xyz'[axes[0]]}"
    with pytest.raises(InputError, match=named):
        check(*mirrored(head, part, echo, axes))


@pytest.mark.parametrize("part", [0, 1])
def test_with_two_real_echoes_both_files_are_named(real_echoes, part):
    with pytest.raises(
        InputError, match=rf"^{PARTS[part]}-1, {PARTS[part]}-2: .*echoes 1 and 2 are mirror images"
    ):
        check(*mirrored(real_echoes, part, 1, (0,)))


def test_echoes_in_one_orientation_pass(real_echoes, head):
    check(*real_echoes)
    check(*head)
    check(*(array[:, :, 30:31] for array in head))
    check(*(array[..., :1] for array in head))


def test_symmetric_objects_and_noise_pass(rng):
    distance = np.linalg.norm(np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 24, 16)))), axis=0)
    ball = (distance < 0.7)[..., None] * np.array([100.0, 70.0, 50.0]) + rng.uniform(0, 5, (*distance.shape, 3))
    phase = rng.uniform(-np.pi, np.pi, ball.shape)
    check(ball.astype(np.float32), phase.astype(np.float32))
    check(*(rng.uniform(0, 1, (12, 9, 7, 3)).astype(np.float32) for _ in PARTS))


def test_a_mirrored_file_is_named_when_a_series_is_loaded(head, save):
    given = {part: [] for part in PARTS}
    for part, array in zip(PARTS, head, strict=True):
        for echo in range(4):
            image = np.flip(array[..., echo], 0) if echo == 2 else array[..., echo]
            sidecar = {"EchoTime": 0.004 * (4 - echo), "MagneticFieldStrength": 3}
            given[part].append(save(f"{part}_{echo}.nii", image, sidecar=sidecar))
    with pytest.raises(InputError, match=r"magnitude_2\.nii: affine: echo 2 is mirrored along x"):
        load_gre(*given.values())


@pytest.mark.parametrize("shape", [(30, 17, 22), (3, 40, 1), (5, 0, 6)])
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_the_smooth_mean_is_that_of_scipys_filter(rng, shape, sigma):
    image = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(smoothed(image, sigma), gaussian_filter(image, sigma), atol=1e-5)


def test_echoes_are_compared_without_scipy():
    code = (
        "import sys; import numpy as np; from qsmengine.io.orientation import check_orientation;"
        "images = np.random.default_rng(1).normal(size=(2, 9, 8, 7, 2)).astype(np.float32);"
        "check_orientation(*images, 'ab', 'cd');"
        "assert not [m for m in sys.modules if m.startswith('scipy')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
