from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.errors import InputError, UsageError
from qsmengine.phantom import virtual_head
from qsmengine.phantom.labels import load_head_labels

COARSE = (4.0, 4.0, 4.0)


def test_truth_is_float32_with_units_on_one_grid(head):
    units = {name: m.unit for name, m in head.truth.items()}
    assert units["chi"] == units["total_field"] == units["local_field"] == units["background_field"] == "ppm"
    assert units["r2star"] == "1/s"
    assert units["md"] == "mm^2/s"
    assert all(m.array.dtype == np.float32 and m.array.flags.c_contiguous for m in head.truth.values())
    assert head.gre.magnitude.dtype == head.gre.phase.dtype == head.dwi.signal.dtype == np.float32
    assert head.grid.voxel_size == pytest.approx(COARSE)
    assert head.grid.field_strength == 3.0


def test_total_field_is_local_plus_background_and_shimmed(head):
    total, local, background = (head.truth[f"{n}_field"].array for n in ("total", "local", "background"))
    np.testing.assert_allclose(total, local + background, atol=2e-6)
    inside = total[head.mask]
    assert abs(inside.mean()) < 1e-4
    assert 0.05 < inside.std() < 0.5
    assert 0.003 < local[head.mask].std() < 0.02


def test_background_is_harmonic_inside_the_brain(head):
    """Mean of the six neighbours, up to the fourth-order error of a field that fades towards the centre."""
    inner = ndimage.binary_erosion(head.mask, iterations=5)
    stencil = ndimage.generate_binary_structure(3, 1) / 6.0
    stencil[1, 1, 1] = -1.0
    power = {}
    for name in ("local_field", "background_field"):
        field = head.truth[name].array.astype(np.float64)
        laplacian = ndimage.convolve(field, stencil)[inner]
        power[name] = laplacian.std() / (field[inner] - field[inner].mean()).std()
    assert power["background_field"] < 0.02
    assert power["local_field"] > 10 * power["background_field"]


def test_tilt_changes_the_field_and_nothing_of_the_head(head):
    direction = np.array([0.2, 0.4, 0.8])
    direction /= np.linalg.norm(direction)
    tilted = virtual_head(voxel_size=COARSE, b0_direction=tuple(direction.tolist()))
    np.testing.assert_allclose(tilted.grid.b0_direction, direction, atol=1e-12)
    assert tilted.grid.b0_override is None
    np.testing.assert_array_equal(tilted.truth["chi"].array, head.truth["chi"].array)
    np.testing.assert_array_equal(tilted.labels, head.labels)
    assert np.abs(tilted.truth["local_field"].array - head.truth["local_field"].array)[head.mask].max() > 0.01


@pytest.mark.parametrize("direction", [(0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, -0.6, -0.8)])
def test_any_direction_gives_a_rotated_affine(direction):
    tilted = virtual_head(voxel_size=(8.0, 9.0, 9.5), b0_direction=direction, modalities=())
    np.testing.assert_allclose(tilted.grid.b0_direction, direction, atol=1e-9)
    assert tilted.grid.handedness == 1.0
    assert tilted.grid.voxel_size == pytest.approx((8.0, 9.0, 9.5))


def test_volumes_and_susceptibility_survive_resampling(head):
    labels, _ = load_head_labels()
    for label in (2, 41, 3, 10, 12):
        fine, coarse = (labels == label).sum(), (head.labels == label).sum() * 64
        assert coarse == pytest.approx(fine, rel=0.25)
    pallidum, white = np.isin(head.labels, (13, 52)), np.isin(head.labels, (2, 41))
    assert 0.08 < head.truth["chi"].array[pallidum].mean() < 0.14
    assert -0.032 < head.truth["chi"].array[white & head.mask].mean() < -0.02


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first, second, other = (virtual_head(voxel_size=(6.0, 6.0, 6.0), snr=30.0, seed=s) for s in (3, 3, 4))
    assert first.gre.magnitude.tobytes() == second.gre.magnitude.tobytes()
    assert first.truth["chi"].array.tobytes() == second.truth["chi"].array.tobytes()
    assert np.abs(first.gre.magnitude - other.gre.magnitude).max() > 0
    assert np.abs(first.truth["chi"].array - other.truth["chi"].array).max() > 0


def test_deformation_moves_the_brain_and_a_close_skull_does_not(head):
    plain: dict[str, Any] = {"voxel_size": COARSE, "modalities": ()}
    moved, close = virtual_head(**plain, deformation=4.0), virtual_head(**plain, close_skull=True)
    assert (moved.mask != head.mask).sum() > 0.05 * head.mask.sum()
    assert 0.6 < moved.mask.sum() / head.mask.sum() < 1.6
    np.testing.assert_array_equal(close.mask, head.mask)
    around = ndimage.binary_dilation(head.mask, iterations=2) & ~head.mask
    assert close.truth["chi"].array[around].mean() < head.truth["chi"].array[around].mean() - 0.1


def test_field_in_ppm_does_not_depend_on_field_strength_but_r2star_does(head):
    seven = virtual_head(voxel_size=COARSE, field_strength=7.0, modalities=())
    np.testing.assert_array_equal(seven.truth["total_field"].array, head.truth["total_field"].array)
    ratio = seven.truth["r2star"].array[head.mask] / head.truth["r2star"].array[head.mask]
    assert 1.5 < np.median(ratio) < 2.3
    assert seven.gre is None
    assert "fa" not in seven.truth


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"modalities": ("gre", "pet")}, UsageError),
        ({"modalities": "gre"}, UsageError),
        ({"snr": 0.0}, UsageError),
        ({"texture": 0.9}, UsageError),
        ({"deformation": -1.0}, UsageError),
        ({"deformation": 40.0}, UsageError),
        ({"voxel_size": (4.0, 4.0, 400.0)}, InputError),
        ({"voxel_size": COARSE, "b0_direction": (0.0, 0.0, 0.0)}, InputError),
        ({"voxel_size": COARSE, "field_strength": -3.0}, InputError),
        ({"voxel_size": COARSE, "echo_times": (4.0, 8.0)}, InputError),
    ],
)
def test_impossible_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        virtual_head(**arguments)
