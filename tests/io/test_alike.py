"""Volumes of a series that are copies, or mirrored."""

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.alike import check_alike

NAMES = ("a.nii", "b.nii", "c.nii")
WHAT = ("volume", "volumes")


@pytest.fixture
def series(rng):
    """Three images (x, y, z, volume) of one object, of different contrast, with noise."""
    tissue = rng.integers(0, 3, (12, 11, 10))
    contrasts = np.array([[100, 60, 20], [80, 60, 10], [90, 50, 30]], dtype=np.float32)
    images = [contrast[tissue] + rng.normal(0, 1, tissue.shape).astype(np.float32) for contrast in contrasts]
    return np.stack(images, axis=3)


def test_images_of_one_object_pass(series):
    check_alike(series, NAMES, WHAT)
    check_alike(series[..., :1], NAMES[:1], WHAT)
    check_alike(np.ones_like(series), NAMES, WHAT)


def test_a_copy_is_named(series):
    with pytest.raises(
        InputError, match=r"a\.nii, c\.nii: volumes 1 and 3 have the same values in every voxel"
    ):
        check_alike(series[..., [0, 1, 0]], NAMES, WHAT)


def test_a_mirrored_volume_is_named(series):
    series[..., 2] = series[:, ::-1, :, 2]
    with pytest.raises(InputError, match=r"c\.nii: affine: volume 3 is mirrored along y of the array"):
        check_alike(series, NAMES, WHAT)


def test_an_inverted_contrast_does_not_count_as_mirrored(rng):
    """What differs between left and right then agrees better with the mirror image."""
    x, y, z = np.meshgrid(*(np.linspace(-1.2, 1.2, n, dtype=np.float32) for n in (40, 36, 32)), indexing="ij")
    inside = x**2 + y**2 + z**2 < 1
    left = (np.sin(9 * x) * np.cos(5 * y) * np.cos(4 * z) + np.where(x > 0.3, 0.5, 0)).astype(np.float32)
    images = [inside * (1 + share * left) for share in (0.4, -0.4)]
    check_alike(
        np.stack(images, axis=3) + rng.normal(0, 0.02, (*x.shape, 2)).astype(np.float32), NAMES[:2], WHAT
    )
