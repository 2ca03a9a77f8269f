from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import load_gre
from qsmengine.phantom import virtual_head
from qsmengine.stages.mask.phase_magnitude import PhaseMagnitudeParams, phase_magnitude
from tests.stages.gre import DEVICE

SIX_NEIGHBOURS = ndimage.generate_binary_structure(3, 1)


@pytest.fixture(scope="module")
def head():
    folder = demo_path("philips-gre-2echo-brain")
    names = [[folder / f"echo-{echo}_{part}.nii.gz" for echo in (1, 2)] for part in ("mag", "phase")]
    return load_gre(*names).series


@pytest.fixture(scope="module")
def brain(head):
    return make(head.magnitude, head.phase, head.echo_times, head.grid)


def make(magnitude, phase, times, grid, **params):
    return phase_magnitude(magnitude, phase, times, grid, PhaseMagnitudeParams(**params), device=DEVICE)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_real_brain_has_a_plausible_volume_in_one_piece_without_holes(head, brain):
    assert 1200 < brain.sum() * head.grid.voxel_volume / 1000 < 1550
    assert ndimage.label(brain, SIX_NEIGHBOURS)[1] == 1
    assert ndimage.binary_fill_holes(brain).sum() == brain.sum()


def test_real_mask_keeps_clear_of_scalp_and_neck(head, brain):
    magnitude = head.magnitude[..., 0]
    around = ndimage.binary_fill_holes(
        ndimage.binary_closing(np.pad(magnitude > 0.08 * magnitude.max(), 4), iterations=4)[4:-4, 4:-4, 4:-4]
    )
    depth = ndimage.distance_transform_edt(np.pad(around, ((1, 1), (1, 1), (0, 1))), sampling=3.0)[
        1:-1, 1:-1, :-1
    ]
    assert (depth[brain] < 6.5).mean() < 0.01
    assert not brain[:, :, :3].any()


def test_real_mask_holds_the_inner_brain(head, brain):
    centre = np.rint(ndimage.center_of_mass(brain)).astype(int)
    inner = tuple(slice(c - 8, c + 9) for c in centre)
    assert brain[inner].mean() > 0.99


def test_voxel_size_and_noise_change_the_mask_little(head, brain):
    rng = np.random.default_rng(0)
    signal = head.magnitude * np.exp(1j * head.phase)
    fine = np.stack([_twice(signal[..., e].real) + 1j * _twice(signal[..., e].imag) for e in (0, 1)], axis=-1)
    sigma = 0.1 * np.percentile(head.magnitude, 95)
    fine = fine + sigma * (rng.standard_normal(fine.shape) + 1j * rng.standard_normal(fine.shape))
    grid = Grid.from_voxel_size(fine.shape[:3], (1.5, 1.5, 1.5), field_strength=3.0)
    mask = make(np.abs(fine).astype(np.float32), np.angle(fine).astype(np.float32), head.echo_times, grid)
    assert dice(mask, np.kron(brain, np.ones((2, 2, 2), bool))) > 0.95


@pytest.mark.parametrize(("seed", "snr"), [(0, 80.0), (2, 30.0), (3, 40.0)])
def test_bridges_through_a_skull_of_one_voxel_are_cut(seed, snr):
    """In these voxels of 4 mm an opening of 5 mm leaves the scalp connected to the brain."""
    drawn = virtual_head(voxel_size=(4.0, 4.0, 4.0), snr=snr, seed=seed)
    series = drawn.gre
    mask = make(series.magnitude, series.phase, series.echo_times, series.grid)
    assert dice(mask, drawn.mask) > 0.9


def test_a_thin_slab_keeps_its_brain(head, brain):
    slab = np.s_[:, :, 28:33]
    grid = Grid.from_voxel_size(head.magnitude[slab].shape[:3], (3.0, 3.0, 3.0), field_strength=3.0)
    mask = make(head.magnitude[slab], head.phase[slab], head.echo_times, grid)
    assert dice(mask, brain[slab]) > 0.9


def test_one_echo_is_enough(head, brain):
    alone = make(head.magnitude[..., :1], head.phase[..., :1], head.echo_times[:1], head.grid)
    assert dice(alone, brain) > 0.97


def test_phase_offset_and_units_of_the_magnitude_do_not_matter(head, brain):
    turned = np.angle(np.exp(1j * (head.phase + 1.0))).astype(np.float32)
    other = make(head.magnitude * np.float32(1e-6), turned, head.echo_times, head.grid)
    assert dice(other, brain) > 0.999


def test_no_signal_is_an_error(head):
    with pytest.raises(InputError, match="no signal"):
        make(np.zeros_like(head.magnitude), head.phase, head.echo_times, head.grid)


def _twice(image):
    return ndimage.zoom(image, 2, order=1, mode="nearest", grid_mode=True)


@pytest.fixture(scope="module", params=[(1, 3.0), (2, 2.0)], ids=["3 mm", "2 mm"])
def clean(request):
    subject, edge = request.param
    return virtual_head(subject=subject, voxel_size=(edge,) * 3, seed=3)


def noisy(clean, snr, lowest=0):
    """Return the mask of the head above a slice, at an SNR of white matter in the first echo, and its truth."""
    series = clean.gre
    signal = series.magnitude * np.exp(1j * series.phase)
    level = np.median(series.magnitude[..., 0][clean.mask])
    rng = np.random.default_rng(7)
    signal += level / snr * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    part = signal[:, :, lowest:].astype(np.complex64)
    grid = clean.grid.replace(shape=part.shape[:3])
    mask = make(np.abs(part), np.angle(part), series.echo_times, grid)
    return np.asarray(mask), clean.mask[:, :, lowest:]


@pytest.mark.parametrize("snr", [10.0, 15.0, 25.0, 100.0])
def test_noise_does_not_turn_the_neck_into_the_brain(clean, snr):
    assert dice(*noisy(clean, snr)) > 0.9


@pytest.mark.parametrize("snr", [10.0, 15.0])
def test_a_noisy_head_without_neck_keeps_its_brain(clean, snr):
    lowest = int(np.flatnonzero(clean.mask.any(axis=(0, 1)))[0])
    assert dice(*noisy(clean, snr, lowest)) > 0.9


def test_a_head_lost_in_noise_is_refused(clean):
    with pytest.raises(InputError, match="no brain found"):
        noisy(clean, 1.5)
