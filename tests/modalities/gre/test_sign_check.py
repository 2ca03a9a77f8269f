"""Susceptibility whose sign contradicts R2* gets a note, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.modalities.gre.sign_check import iron_contrast, sign_notes
from qsmengine.pipeline.run.results import RunResult

SHAPE = (40, 38, 36)


def result(rng, sign=1.0, *, iron=0.1, radius=15.0, voxel=3.0, **changes):
    """Nuclei in the middle with high R2* and chi; a rim with high R2* and the opposite chi."""
    r = np.sqrt(sum((i - (n - 1) / 2) ** 2 for i, n in zip(np.indices(SHAPE), SHAPE, strict=True)))
    mask, nuclei, rim = r < radius, r < 3.5, (r > radius - 6 / voxel) & (r < radius)
    chi = sign * np.where(nuclei, iron, np.where(rim, -0.5, 0.0)) + 0.02 * rng.standard_normal(SHAPE)
    r2star = 20 + 60 * nuclei + 80 * rim + 2 * rng.standard_normal(SHAPE)
    maps = {"chi": chi, "r2star": r2star, "local_mask": mask} | changes
    grid = Grid.from_voxel_size(SHAPE, (voxel,) * 3, field_strength=3.0)
    return RunResult({k: v for k, v in maps.items() if v is not None}, {}, grid, ())


def test_contrast_of_iron_is_that_of_the_nuclei_and_the_rim_does_not_count(rng):
    assert iron_contrast(result(rng)) == pytest.approx(0.1, abs=0.03)
    assert sign_notes(result(rng)) == []


@pytest.mark.parametrize("size", [{}, {"voxel": 6.0, "radius": 10.0}], ids=["3 mm", "6 mm"])
def test_reversed_phase_is_noted(rng, size):
    (note,) = sign_notes(result(rng, -1.0, **size))
    assert "input.phase_sign=-1" in note


@pytest.mark.parametrize(
    "changes",
    [{"r2star": None}, {"radius": 5.0}, {"iron": 0.0}, {"r2star": np.zeros(SHAPE)}],
    ids=["one echo", "shallow", "no iron", "no relaxation"],
)
def test_doubtful_maps_say_nothing(rng, changes):
    found = result(rng, -1.0, **changes)
    assert iron_contrast(found) is None
    assert sign_notes(found) == []


def test_errors_as_large_as_the_contrast_leave_the_sign_open(rng):
    """Ghosts raise R2* and lower chi in bands: many voxels agree, but the rest varies as much."""
    bands = np.sin(np.indices(SHAPE)[1] * 0.9)
    chi = -0.06 * bands + 0.09 * np.sin(np.indices(SHAPE)[0] * 1.3) + 0.005 * rng.standard_normal(SHAPE)
    r2star = 20 + 40 * np.maximum(bands, 0) ** 8 + rng.standard_normal(SHAPE)
    moved = result(rng, chi=chi, r2star=r2star)
    fast = r2star > np.percentile(r2star, 97)
    assert chi[fast].mean() - chi[~fast].mean() < -0.04
    assert iron_contrast(moved) is None
    assert sign_notes(moved) == []
