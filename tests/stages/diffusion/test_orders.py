"""Component orders and frames of tensors, and one head scanned in two slice orientations."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from qsmengine.backend.device import cpu
from qsmengine.demo_data import demo_path
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.io.dwi import load_dwi
from qsmengine.stages.diffusion.orders import colour_fa, frame_to_world, reorder_tensor, rotate_tensor
from qsmengine.stages.diffusion.tensor import IwlsParams, TensorParams, iwls, ols
from tests.stages.diffusion.tensors import full, random_tensors, six

CANON = Path(__file__).parents[2] / "data" / "canon-dwi-brain-oblique"
CPU = cpu(2)


def oblique_grid(rng, shape, sign):
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag([2.0, 2.0, 3.0])
    affine[:3, 0] *= sign * np.sign(np.linalg.det(affine[:3, :3]))
    return Grid(shape, affine)


def test_rotation_is_that_of_the_matrix(rng):
    tensors = random_tensors(rng, 24)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = rotate_tensor(np.float32(six(tensors)).reshape(2, 3, 4, 6), turn)
    np.testing.assert_allclose(full(found).reshape(-1, 3, 3), turn @ tensors @ turn.T, atol=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_frame_follows_the_handedness(rng, sign):
    grid = oblique_grid(rng, (2, 2, 2), sign)
    axes = grid.affine[:3, :3] / grid.voxel_size
    expected = axes @ np.diag([-sign, 1.0, 1.0])
    np.testing.assert_allclose(frame_to_world(grid), expected, atol=1e-6)


def test_orders_of_the_programs(rng):
    grid = Grid.from_voxel_size((1, 1, 1), (1.0, 1.0, 1.0))
    xx, xy, xz, yy, yz, zz = values = rng.normal(size=6).astype(np.float32)
    tensor = values.reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(reorder_tensor(tensor, "fsl", grid).ravel(), values)
    for name in ("dipy", "nifti"):
        np.testing.assert_array_equal(reorder_tensor(tensor, name, grid).ravel(), [xx, xy, yy, xz, yz, zz])
    # the affine's determinant is positive: FSL's x points the other way
    found = reorder_tensor(tensor, "mrtrix", grid).ravel()
    np.testing.assert_allclose(found, [xx, yy, zz, -xy, -xz, yz], rtol=1e-6)
    with pytest.raises(UsageError, match="afni"):
        reorder_tensor(tensor, "afni", grid)


@pytest.mark.skipif(shutil.which("dwi2tensor") is None, reason="MRtrix3 is not installed")
@pytest.mark.parametrize("image", ["siemens", "canon"])
def test_mrtrix_order_is_that_of_dwi2tensor(tmp_path, image):
    demo = demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz"
    path = demo if image == "siemens" else CANON / "sagittal_tilted.nii.gz"
    table = [str(path).replace(".nii.gz", ending) for ending in (".bvec", ".bval")]
    target = str(tmp_path / "tensor.nii")
    command = ["dwi2tensor", "-quiet", "-nthreads", "1", "-ols", "-iter", "0", "-fslgrad", *table, str(path)]
    subprocess.run([*command, target], check=True)
    series = load_dwi(path).series
    mask = np.asarray(series.signal).min(axis=3) > 20
    r = ols(
        series.signal, mask, series.b_values, series.b_vectors, series.grid, TensorParams(min_signal=1e-6),
        device=CPU,
    )  # fmt: skip
    found = reorder_tensor(r.tensor, "mrtrix", series.grid)[mask]
    np.testing.assert_allclose(found, nib.load(target).get_fdata()[mask], atol=2e-8)


def test_colour_fa_is_limited(rng):
    v1 = np.array([0.6, -0.8, 0.0], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(colour_fa(v1, np.full((1, 1, 1), 0.5, np.float32)).ravel(), [0.3, 0.4, 0.0])
    np.testing.assert_allclose(colour_fa(v1, np.full((1, 1, 1), 1.2, np.float32)).ravel(), [0.6, 0.8, 0.0])


MOTION = (
    np.array([[0.99886, 0.02374, -0.04153], [-0.02256, 0.99933, 0.02872], [0.04218, -0.02775, 0.99872]]),
    np.array([0.695, 2.063, 1.286]),
)
"""Rotation and shift [mm] of the head between the two series, found once by correlating the b = 0 images."""


def test_two_slice_orientations_agree_in_the_world():
    fits = {}
    for name in ("axial", "sagittal_tilted"):
        series = load_dwi(CANON / f"{name}.nii.gz").series
        mask = np.asarray(series.signal[..., 0]) > 0
        r = iwls(series.signal, mask, series.b_values, series.b_vectors, series.grid, IwlsParams(), device=CPU)
        fits[name] = series, reorder_tensor(r.tensor, "mrtrix", series.grid)
    axial, ours = fits["axial"]
    sagittal, theirs = fits["sagittal_tilted"]
    b0 = np.asarray(axial.signal[..., 0])
    voxels = np.argwhere(b0 > 0.3 * np.quantile(b0, 0.98))
    world = voxels @ axial.grid.affine[:3, :3].T + axial.grid.affine[:3, 3]
    rotation, shift = MOTION
    back = np.linalg.inv(sagittal.grid.affine)
    places = (world @ rotation.T + shift) @ back[:3, :3].T + back[:3, 3]
    resampled = np.stack([map_coordinates(theirs[..., k], places.T, order=1) for k in range(6)], axis=-1)
    first, second = (
        full(t[:, [0, 3, 4, 1, 5, 2]].astype(np.float64)) for t in (ours[tuple(voxels.T)], resampled)
    )
    second = rotation.T @ second @ rotation
    fa, directions = zip(*(anisotropy(t) for t in (first, second)), strict=True)
    chosen = (fa[0] > 0.4) & (fa[1] > 0.4)
    assert chosen.sum() > 800
    cosines = np.abs((directions[0] * directions[1]).sum(axis=1))[chosen]
    assert np.degrees(np.median(np.arccos(np.minimum(cosines, 1.0)))) <= 12.0
    assert abs(np.median(fa[0]) - np.median(fa[1])) < 0.05


def anisotropy(tensors):
    values, vectors = np.linalg.eigh(tensors)
    deviation = values - values.mean(axis=1, keepdims=True)
    size = np.maximum((values**2).sum(axis=1), 1e-30)
    return np.sqrt(1.5 * (deviation**2).sum(axis=1) / size), vectors[:, :, 2]
