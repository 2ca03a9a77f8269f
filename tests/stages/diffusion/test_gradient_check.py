"""Wrong gradient tables are found and named on real heads."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.dwi import load_dwi
from qsmengine.stages.diffusion import gradient_check
from qsmengine.stages.diffusion.gradient_check import (
    AS_GIVEN,
    CANDIDATES,
    Candidate,
    check_gradients,
)
from qsmengine.stages.diffusion.tensor import TensorParams, ols

CANON = Path(__file__).parents[2] / "data" / "canon-dwi-brain-oblique"
IMAGES = {
    "siemens": demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz",
    "canon": CANON / "sagittal_tilted.nii.gz",
}


@cache
def brain(name):
    series = load_dwi(IMAGES[name]).series
    b0 = np.asarray(series.signal[..., 0])
    return series, b0 > 0.25 * np.quantile(b0, 0.98)


def check(name, change):
    series, mask = brain(name)
    table = series.b_values, series.b_vectors @ change.matrix.T
    r = ols(series.signal, mask, *table, series.grid, TensorParams(), device=cpu(2))
    return check_gradients(r.v1, r.fa, series.grid, mask=mask)


@pytest.mark.parametrize("name", IMAGES)
def test_right_tables_are_found_right(name):
    found = check(name, AS_GIVEN)
    assert found.best == AS_GIVEN
    assert found.decidable
    assert not found.doubtful
    assert set(found.coherence) == set(CANDIDATES)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("change", CANDIDATES[1::3], ids=str)
def test_wrong_tables_are_found_with_what_mends_them(name, change):
    found = check(name, change)
    assert found.doubtful
    mended = found.best.matrix @ change.matrix
    assert np.allclose(mended, np.eye(3)) or np.allclose(mended, -np.eye(3))


@pytest.mark.parametrize("change", [Candidate((0, 1, 2), 0), Candidate((1, 0, 2), 2)], ids=str)
def test_refitting_and_turning_the_directions_are_the_same(monkeypatch, change):
    monkeypatch.setattr(gradient_check, "SAMPLES", ())  # all pairs
    turned, given = check("siemens", change), check("siemens", AS_GIVEN)
    assert turned.coherence[AS_GIVEN] == pytest.approx(given.coherence[change], rel=1e-3)


def test_coherence_is_the_sum_over_pairs(rng):
    grid = Grid((4, 3, 3), np.diag([2.0, 2.5, 3.0, 1.0]))
    v1 = rng.normal(size=(4, 3, 3, 3))
    v1 /= np.linalg.norm(v1, axis=-1, keepdims=True)
    fa = rng.uniform(0.2, 0.9, grid.shape)
    candidate = Candidate((2, 0, 1), 1)
    turned = v1 @ candidate.matrix.T * [-1.0, 1.0, 1.0]
    total, pairs = 0.0, 0
    voxels = [tuple(v) for v in np.argwhere(fa >= 0.3)]
    for number, i in enumerate(voxels):
        for j in voxels[number + 1 :]:
            offset = np.subtract(j, i)
            if np.abs(offset).max() == 1:
                u = offset * grid.voxel_size / np.linalg.norm(offset * grid.voxel_size)
                total += fa[i] * fa[j] * (turned[i] @ u) ** 4 * (turned[j] @ u) ** 4
                pairs += 1
    found = check_gradients(v1.astype(np.float32), fa.astype(np.float32), grid)
    assert found.pairs == pairs
    assert found.coherence[candidate] == pytest.approx(total / pairs, rel=1e-5)
    assert not found.doubtful
    with pytest.raises(InputError, match="do not fit"):
        check_gradients(v1[:3], fa, grid)


def bundle(rng, shape=(48, 44, 40)):
    """Fibres along x that scatter, and their FA: more voxels than the check samples."""
    v1 = np.array([1.0, 0.3, 0.0]) + 0.4 * rng.normal(size=(*shape, 3))
    v1 /= np.linalg.norm(v1, axis=-1, keepdims=True)
    return np.float32(v1), np.float32(rng.uniform(0.3, 0.9, shape))


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_agrees_with_all_pairs_within_its_standard_error(monkeypatch, seed):
    v1, fa = bundle(np.random.default_rng(seed))
    grid = Grid.from_voxel_size(fa.shape, (2.0, 2.0, 2.5))
    monkeypatch.setattr(gradient_check, "SAMPLES", (4096,))
    sampled = check_gradients(v1, fa, grid)
    monkeypatch.setattr(gradient_check, "SAMPLES", ())
    whole = check_gradients(v1, fa, grid)
    assert whole.error == 0.0
    assert 4 * 4096 < sampled.pairs < whole.pairs
    other = next(candidate for candidate in sampled.coherence if candidate != AS_GIVEN)
    ratios = [found.coherence[other] / found.coherence[AS_GIVEN] for found in (sampled, whole)]
    assert abs(ratios[0] - ratios[1]) < 4 * sampled.error
    assert 0 < sampled.error < 0.05


def test_all_pairs_decide_where_the_sample_does_not(monkeypatch, rng):
    v1, fa = bundle(rng)
    grid = Grid.from_voxel_size(fa.shape, (2.0, 2.0, 2.5))
    monkeypatch.setattr(gradient_check, "SAMPLES", (2048,))
    sampled = check_gradients(v1, fa, grid)
    other = next(value for candidate, value in sampled.coherence.items() if candidate != AS_GIVEN)
    ratio = other / sampled.coherence[AS_GIVEN]
    monkeypatch.setattr(gradient_check, "MARGIN", ratio + 2 * sampled.error)
    whole = check_gradients(v1, fa, grid)
    assert whole.error == 0.0
    assert whole.pairs > sampled.pairs
    monkeypatch.setattr(gradient_check, "MARGIN", ratio + 4 * sampled.error)
    assert check_gradients(v1, fa, grid).pairs == sampled.pairs


def test_a_small_sample_clears_a_table_and_a_large_one_doubts_it(monkeypatch, rng):
    v1, fa = bundle(rng)
    fa[:, 1::2] = fa[:, :, 1::2] = 0.1  # fibres along x in separate lines
    grid = Grid.from_voxel_size(fa.shape, (2.0, 2.0, 2.5))
    monkeypatch.setattr(gradient_check, "SAMPLES", (1024, 8192))
    cleared, doubted = check_gradients(v1, fa, grid), check_gradients(v1[..., [1, 0, 2]], fa, grid)
    assert not cleared.doubtful
    assert doubted.doubtful
    assert gradient_check.MIN_PAIRS <= cleared.pairs <= 1024 < doubted.pairs <= 8192


def test_scattered_directions_leave_the_table_undecided(rng):
    v1 = rng.normal(size=(24, 22, 20, 3))
    v1 /= np.linalg.norm(v1, axis=-1, keepdims=True)
    grid = Grid.from_voxel_size(v1.shape[:3], (4.0, 4.0, 4.0))
    found = check_gradients(v1.astype(np.float32), np.full(v1.shape[:3], 0.5, np.float32), grid)
    assert found.pairs > gradient_check.MIN_PAIRS
    assert not found.decidable
    assert not found.doubtful


def test_arrays_of_a_gpu_give_the_same_coherences(gpu, rng):
    v1, fa = bundle(rng, (9, 8, 7))
    grid, mask = Grid.from_voxel_size(fa.shape, (2.0, 2.0, 2.5)), rng.uniform(size=fa.shape) > 0.02
    here = check_gradients(v1, fa, grid, mask=mask)
    there = check_gradients(gpu.asarray(v1), gpu.asarray(fa), grid, mask=gpu.asarray(mask, bool))
    assert there.pairs == here.pairs > 0
    assert there.coherence == pytest.approx(here.coherence, rel=1e-6)


def test_candidates_say_what_to_do():
    assert str(AS_GIVEN) == "as given"
    assert str(Candidate((1, 0, 2), 2)) == "rows in the order y x z, then z negated"
    assert len({str(c) for c in CANDIDATES}) == 24
