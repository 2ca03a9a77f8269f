"""Order of the gradient table against the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsmengine.data import DwiSeries
from qsmengine.demo_data import demo_path
from qsmengine.grid import Grid
from qsmengine.io.dwi import load_dwi
from qsmengine.stages.diffusion.direction_check import check_directions

BUNDLED = demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz"
CANON = Path(__file__).parents[2] / "data" / "canon-dwi-brain-oblique"
REAL = [BUNDLED, *sorted(CANON.glob("*.nii.gz"))]


def object_of(series):
    unweighted = series.signal[..., series.b0_volumes].mean(axis=-1)
    return (unweighted > 0.3 * np.percentile(unweighted, 99)) & (series.signal > 0).all(axis=-1)


@pytest.fixture(scope="module", params=REAL, ids=lambda path: path.name)
def series(request):
    return load_dwi(request.param).series


def shuffled(series, rng):
    """The series with every direction at another volume of the same shell."""
    weighted = np.flatnonzero(~series.b0_volumes)
    order = rng.permutation(weighted)
    vectors = series.b_vectors.copy()
    vectors[order] = series.b_vectors[np.roll(order, 1)]
    return replace(series, b_vectors=vectors)


def test_a_right_table_is_explained_and_a_shuffled_one_is_not(series):
    inside = object_of(series)
    right = check_directions(series, inside)
    assert right.decidable
    assert right.explained > 0.6
    for seed in range(8):
        wrong = check_directions(shuffled(series, np.random.default_rng(seed)), inside)
        assert wrong.doubtful, wrong
        assert wrong.shared == pytest.approx(right.shared)


def test_scale_and_b0_do_not_matter(series, rng):
    inside = object_of(series)
    scale = np.exp(rng.normal(size=(*series.grid.shape, 1)))
    other = check_directions(replace(series, signal=(series.signal * scale).astype(np.float32)), inside)
    assert other.explained == pytest.approx(check_directions(series, inside).explained, abs=1e-4)


def test_the_table_may_be_turned_but_not_reordered(series, rng):
    """A rotation of all directions, a flip of an axis too, is for the check of axes to find."""
    inside = object_of(series)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = check_directions(replace(series, b_vectors=series.b_vectors @ rotation), inside)
    assert turned.explained == pytest.approx(check_directions(series, inside).explained, abs=1e-6)


def test_noise_alone_decides_nothing(rng):
    vectors = rng.normal(size=(31, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    b = np.r_[0.0, np.full(30, 1000.0)]
    shape = (40, 30, 20)
    clean = np.r_[1000.0, np.full(30, 400.0)]
    signal = np.abs(clean + rng.normal(0, 30, (*shape, 31))).astype(np.float32)
    noise = DwiSeries(signal, b, vectors, Grid.from_voxel_size(shape, (2.0, 2.0, 2.0)))
    found = check_directions(noise, np.ones(shape, bool))
    assert found.pairs > 1000
    assert not found.decidable
    assert not found.doubtful


def test_six_directions_and_empty_objects_decide_nothing(series):
    inside = object_of(series)
    weighted = np.flatnonzero(~series.b0_volumes)[:6]
    kept = np.r_[np.flatnonzero(series.b0_volumes)[:1], weighted]
    table = {"b_values": series.b_values[kept], "b_vectors": series.b_vectors[kept]}
    few = replace(series, signal=series.signal[..., kept], **table)
    assert not check_directions(few, inside).decidable
    nothing = check_directions(series, np.zeros_like(inside))
    assert (nothing.pairs, nothing.explained) == (0, 0.0)
