"""Brain masks of diffusion series, and images that have none."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from dipy.segment.mask import median_otsu

from qsmengine.backend.device import cpu
from qsmengine.demo_data import demo_path
from qsmengine.grid import Grid
from qsmengine.phantom.head import virtual_head
from qsmengine.stages.mask.unweighted import unweighted_mask

SCHEME = np.array([0.0, 1000.0]), np.array([[0.0, 0, 0], [1, 0, 0]])


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def rician(rng, image, sigma):
    noise = rng.normal(0, sigma, (2, *image.shape))
    return np.hypot(image + noise[0], noise[1]).astype(np.float32)


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(3.0, 3.0, 3.0), snr=25, modalities=("dwi",), scheme=SCHEME)


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_brain_of_a_virtual_head_of_any_size(head, scale):
    affine = head.grid.affine.copy()
    affine[:3] *= scale
    image = head.dwi.signal[..., 0]
    found = unweighted_mask(image, Grid(image.shape, affine), cpu())
    assert dice(found.mask, head.mask) > 0.92
    peer = median_otsu(image.astype(float), median_radius=4, numpass=4)[1]
    assert dice(found.mask, head.mask) > dice(peer, head.mask)


def test_brain_of_a_real_series_agrees_with_median_otsu():
    image = nib.load(demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz")
    b0 = np.ascontiguousarray(image.get_fdata(dtype=np.float32)[..., 0])
    found = unweighted_mask(b0, Grid(b0.shape, image.affine), cpu())
    assert dice(found.mask, median_otsu(b0, median_radius=4, numpass=4)[1]) > 0.9


@pytest.mark.parametrize("shape", [(20, 20, 10), (48, 48, 12)])
@pytest.mark.parametrize("snr", [10, 40])
def test_a_sample_in_noise_is_cut_out(rng, shape, snr):
    places = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    ball = (places**2 / (0.4 * np.array(shape)[:, None, None, None]) ** 2).sum(axis=0) < 1
    image = rician(rng, 1000.0 * ball, 1000 / snr)
    found = unweighted_mask(image, Grid(shape, np.diag([2.0, 2, 2, 1])), cpu())
    assert dice(found.mask, ball) > 0.98


@pytest.mark.parametrize("kind", ["uniform", "tissue", "empty"])
def test_images_without_a_background_have_no_mask(rng, kind):
    shape = (24, 24, 12)
    if kind == "empty":
        image = np.zeros(shape, np.float32)
    else:
        blocks = rng.uniform(1, 3, (6, 6, 3)) if kind == "tissue" else np.ones((6, 6, 3))
        image = rician(rng, 300 * blocks.repeat(4, 0).repeat(4, 1).repeat(4, 2), 10)
    found = unweighted_mask(image, Grid(shape, np.diag([2.0, 2, 2, 1])), cpu())
    assert found.mask is None
    assert found.reason
