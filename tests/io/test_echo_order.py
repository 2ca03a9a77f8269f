import numpy as np
import pytest

from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.io import load_gre


@pytest.fixture(scope="module")
def names():
    folder = demo_path("philips-gre-2echo-brain")
    return [[folder / f"echo-{echo}_{part}.nii.gz" for echo in (1, 2)] for part in ("mag", "phase")]


@pytest.fixture(scope="module")
def images(names):
    series = load_gre(*names).series
    return series.magnitude, series.phase, series.echo_times


def load(save, images, orders):
    given = {
        part: [save(f"{part}-{echo}.nii", array[..., echo]) for echo in order]
        for part, array, order in zip(("magnitude", "phase"), images[:2], orders, strict=True)
    }
    return load_gre(given["magnitude"], given["phase"], echo_times=images[2], field_strength=3)


def test_echo_times_given_in_the_order_of_the_files_are_used(save, images):
    assert load(save, images, [(0, 1), (0, 1)]).series.echo_times == images[2]


@pytest.mark.parametrize(
    ("orders", "named"),
    [
        ([(1, 0), (1, 0)], r"magnitude-1\.nii, .*magnitude grows"),
        ([(1, 0), (0, 1)], r"magnitude-1\.nii, .*magnitude grows"),
        ([(0, 1), (1, 0)], r"phase-1\.nii, .*phase between neighbouring voxels shrinks"),
    ],
)
def test_echo_times_given_for_files_in_reverse_order_are_refused(save, images, orders, named):
    with pytest.raises(InputError, match=named):
        load(save, images, orders)


def test_echo_times_of_sidecars_override_the_order_of_the_files(names):
    magnitude, phase = names
    assert load_gre(magnitude[::-1], phase).series.echo_times == load_gre(magnitude, phase).series.echo_times


def test_images_without_decay_pass(save, rng):
    magnitude = rng.uniform(1, 2, (12, 11, 10, 3)).astype(np.float32)
    phase = rng.uniform(-np.pi, np.pi, magnitude.shape).astype(np.float32)
    assert load(save, (magnitude, phase, (0.004, 0.008, 0.012)), [(2, 1, 0), (0, 1, 2)]).series.n_echoes == 3
