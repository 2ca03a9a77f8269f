"""MP-PCA against the definition in float64, DIPY, MRtrix3, and noise that is known."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import resolve_device, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.denoise.mppca import MppcaParams, mppca

SHAPE = (12, 11, 10)


def series(rng, sigma, volumes=20, rank=3, shape=SHAPE):
    """(clean, noisy): smooth mixtures of `rank` time courses."""
    share = gaussian_filter(rng.uniform(0.5, 1.0, (*shape, rank)), (1, 1, 1, 0))
    clean = 100 + 100 * share @ rng.uniform(0.2, 3.0, (rank, volumes))
    return clean, (clean + rng.normal(0, sigma, clean.shape)).astype(np.float32)


def run(image, mask=None, *, threads=1, **params):
    inside = np.ones(image.shape[:3], bool) if mask is None else mask
    grid = Grid(image.shape[:3], np.eye(4))
    result = mppca(image, inside, grid, MppcaParams(**params), device=resolve_device("cpu", threads))
    return to_numpy(result.components), to_numpy(result.sigma)


def by_definition(image, mask, radius, *, corrected):
    """One cube after the other by the singular values of its matrix."""
    total, variance, weight = np.zeros(image.shape), np.zeros(mask.shape), np.zeros(mask.shape)
    for centre in zip(*np.nonzero(mask), strict=True):
        cube = tuple(slice(max(c - radius, 0), c + radius + 1) for c in centre)
        known = mask[cube]
        x = np.asarray(image[cube][known], float)
        if len(x) < 3:
            continue
        mean = x.mean(axis=0)
        u, d, v = np.linalg.svd(x - mean, full_matrices=False)
        rows = len(x) - 1 if corrected else len(x)
        m, n = sorted((rows, x.shape[1]))
        d = d[:m]
        for p in range(m):
            a, b = m - p, n - p if corrected else n
            s2 = (d[p:] ** 2).sum() / (a * b)
            if d[p] ** 2 - d[-1] ** 2 <= 4 * np.sqrt(a * b) * s2:
                break
        estimate = (u[:, :p] * d[:p]) @ v[:p] + mean
        share = 1 / (1 + p)
        total[cube][known] += share * estimate
        variance[cube][known] += share * s2
        weight[cube][known] += share
    found = weight > 0
    total[found] /= weight[found, None]
    variance[found] /= weight[found]
    return np.where(found[..., None], total, image * mask[..., None]), np.sqrt(variance)


@pytest.mark.parametrize(("threshold", "volumes", "radius"), [
    ("corrected", 12, 1), ("original", 12, 1), ("corrected", 20, 2), ("corrected", 40, 1),
])  # fmt: skip
def test_result_is_that_of_the_definition(threshold, volumes, radius, rng):
    _, noisy = series(rng, 5.0, volumes, shape=(7, 6, 5))
    mask = rng.uniform(size=noisy.shape[:3]) < 0.8
    expected = by_definition(noisy, mask, radius, corrected=threshold == "corrected")
    found = run(noisy, mask, radius=radius, stride=1, threshold=threshold)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)


def test_noise_falls_and_its_size_is_found(rng):
    for sigma in (2.0, 10.0):
        clean, noisy = series(rng, sigma)
        filtered, found = run(noisy)
        assert np.std(filtered - clean) < 0.6 * sigma
        assert found.mean() == pytest.approx(sigma, rel=0.03)


def test_corrected_counts_find_small_noise_more_exactly_than_the_original(rng):
    _, noisy = series(rng, 1.0, volumes=30, rank=5)
    errors = {
        name: abs(run(noisy, radius=2, threshold=name)[1].mean() - 1.0) for name in ("corrected", "original")
    }
    assert errors["corrected"] < 0.5 * errors["original"]
    assert errors["corrected"] < 0.02


def test_noise_that_varies_in_space_is_followed(rng):
    clean, _ = series(rng, 0.0, shape=(20, 10, 10))
    profile = np.linspace(2.0, 8.0, 20)
    noisy = clean + rng.normal(size=clean.shape) * profile[:, None, None, None]
    _, found = run(noisy.astype(np.float32))
    np.testing.assert_allclose(found.mean(axis=(1, 2))[3:-3], profile[3:-3], rtol=0.1)


def test_series_without_noise_comes_back_as_it_was(rng):
    clean, _ = series(rng, 0.0)
    filtered, found = run(clean.astype(np.float32))
    np.testing.assert_allclose(filtered, clean, rtol=1e-5)
    assert found.max() < 1e-3


def test_residual_holds_noise_and_no_structure(rng):
    clean, noisy = series(rng, 1.0)
    residual = noisy - run(noisy)[0]
    structure = clean - clean.mean(axis=(0, 1, 2))
    assert abs((residual * structure).sum() / (structure**2).sum()) < 0.005


def test_dipy_finds_the_same_noise_and_nearly_the_same_series(rng):
    dipy = pytest.importorskip("dipy.denoise.localpca")
    clean, noisy = series(rng, 5.0)
    theirs, noise = dipy.mppca(noisy.astype(float), patch_radius=2, return_sigma=True)
    ours, found = run(noisy, radius=2, stride=1, threshold="original")
    core = (slice(4, -4),) * 3
    np.testing.assert_allclose(found[core], noise[core], rtol=2e-3)
    assert np.std((ours - theirs)[core]) < 0.1 * np.std((noisy - clean)[core])


@pytest.mark.skipif(shutil.which("dwidenoise") is None, reason="MRtrix3 is not installed")
def test_mrtrix_finds_nearly_the_same_noise_and_series(rng, tmp_path):
    clean, noisy = series(rng, 5.0, volumes=25)
    source, target, noise = (tmp_path / f"{name}.nii" for name in ("dwi", "out", "noise"))
    nib.save(nib.Nifti1Image(noisy, np.eye(4)), source)
    subprocess.run(
        ["dwidenoise", source, target, "-noise", noise, "-extent", "5", "-nthreads", "1", "-quiet"], check=True
    )
    theirs, level = (np.asarray(nib.load(path).dataobj) for path in (target, noise))
    ours, found = run(noisy, radius=2, stride=1)
    core = (slice(4, -4),) * 3
    assert found[core].mean() == pytest.approx(level[core].mean(), rel=0.03)
    assert np.std((ours - clean)[core]) < np.std((theirs - clean)[core])
    assert np.std((ours - theirs)[core]) < 0.5 * np.std((noisy - clean)[core])


def test_voxels_outside_the_mask_are_zero_and_lone_ones_keep_their_values(rng):
    _, noisy = series(rng, 5.0)
    mask = np.zeros(SHAPE, bool)
    mask[:6] = True
    mask[11, 9, 9] = True
    filtered, found = run(noisy, mask, radius=1)
    assert not filtered[~mask].any()
    assert not found[~mask].any()
    np.testing.assert_array_equal(filtered[11, 9, 9], noisy[11, 9, 9])


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_every_voxel_of_the_mask_is_reached_whatever_the_stride(stride, rng):
    _, noisy = series(rng, 5.0)
    mask = rng.uniform(size=SHAPE) < 0.5
    filtered, found = run(noisy, mask, radius=1, stride=stride)
    neighbours = np.zeros(SHAPE, int)
    padded = np.pad(mask, 1)
    for i, j, k in itertools.product(range(3), repeat=3):
        neighbours += padded[i : i + SHAPE[0], j : j + SHAPE[1], k : k + SHAPE[2]]
    assert (found[mask & (neighbours >= 6)] > 0).mean() > 0.99
    assert filtered[mask].all()


def test_threads_do_not_change_the_bytes(rng):
    _, noisy = series(rng, 5.0, shape=(20, 18, 16), volumes=30)
    for one, four in zip(run(noisy, threads=1), run(noisy, threads=4), strict=True):
        assert one.tobytes() == four.tobytes()


def test_one_volume_is_refused(rng):
    _, noisy = series(rng, 5.0)
    with pytest.raises(InputError, match="one volume"):
        run(noisy[..., :1])
