"""Scans on a grid that divides the label map's voxels, of a bundled head that is shrunk to a quarter."""

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom import anatomy
from qsmengine.phantom.artefacts import Artefacts
from qsmengine.phantom.labels import load_head_index
from qsmengine.phantom.scanner import Scanner
from qsmengine.units import rad_per_ppm

OBLIQUE = (0.25, 0.33, float(np.sqrt(1 - 0.25**2 - 0.33**2)))
VOXEL = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def small():
    """The head whose subject is a number that no bundled head has."""
    head = load_head_index(3)
    index = np.ascontiguousarray(head.index[1::4, 1::4, 1::4])
    found = replace(head, index=index, grid=Grid.from_voxel_size(index.shape, VOXEL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anatomy, "load_head_index", lambda subject: found)
        anatomy._heads.cache_clear()
        yield found
    anatomy._heads.cache_clear()


@pytest.fixture(scope="module")
def scanner(small):
    return Scanner(91, b0_direction=OBLIQUE, seed=4, subdivision=2, flat=1.0, splines=True)


@pytest.fixture(scope="module")
def scanned(scanner):
    return scanner.scan(voxel_size=VOXEL, echo_times=(0.001, 0.003))


def test_field_is_the_dipole_of_chi_for_an_oblique_b0(scanned):
    chi = np.where(scanned.mask, scanned.truth["chi"].array, 0)
    padded = [2 * n for n in chi.shape]
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in padded), indexing="ij", sparse=True)
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    along = sum(a * b for a, b in zip(k, scanned.grid.b0_direction, strict=True))
    dipole = 1 / 3 - along**2 / np.where(square > 0, square, 1)
    field = np.fft.ifftn(np.fft.fftn(chi, padded, (0, 1, 2)) * dipole).real
    difference = field[tuple(slice(0, n) for n in chi.shape)] - scanned.truth["local_field"].array
    from scipy.ndimage import binary_erosion

    deep = binary_erosion(scanned.mask, iterations=4)
    local = scanned.truth["local_field"].array
    assert difference[deep].std() < 0.03 * local[deep].std()
    assert difference[scanned.mask].std() < 0.08 * local[scanned.mask].std()


def test_phase_difference_of_echoes_is_the_total_field(scanned):
    radians = rad_per_ppm(3.0, 0.002)
    turned = (
        scanned.gre.phase[..., 1] - scanned.gre.phase[..., 0] - radians * scanned.truth["total_field"].array
    )
    error = np.abs(np.angle(np.exp(1j * turned)))[scanned.mask] / radians
    assert np.median(error) < 0.02
    total = scanned.truth["local_field"].array + scanned.truth["background_field"].array
    np.testing.assert_allclose(scanned.truth["total_field"].array, total, atol=1e-6)


def test_truncation_conserves_the_signal_and_loses_energy(scanner, scanned):
    """The sum of the image is the centre of k-space; energy beyond the voxels' Nyquist frequency is lost."""
    fine = scanner.scan(voxel_size=(0.5, 0.5, 0.5), echo_times=(0.001,))

    def complex_image(head):
        return head.gre.magnitude[..., 0] * np.exp(1j * head.gre.phase[..., 0])

    coarse, full = complex_image(scanned), complex_image(fine)
    assert abs(coarse.sum() - full.sum() / 8) < 0.02 * abs(full.sum() / 8)
    energy = np.square(np.abs(coarse)).sum() / (np.square(np.abs(full)).sum() / 8)
    assert 0.8 < energy < 0.99


def test_without_smoothing_the_truth_has_the_labels_and_mask_of_the_label_map(small):
    scanner = Scanner(91, seed=4, subdivision=2, smoothing=0.0, texture=0.0, flat=1.0, splines=True)
    head = scanner.scan(voxel_size=VOXEL, echo_times=(0.001,))
    labels = small.lookup([region.label for region in small.regions], np.int16)
    np.testing.assert_array_equal(head.labels, labels)
    np.testing.assert_array_equal(head.mask, small.lookup([region.brain for region in small.regions], bool))
    coarse = Scanner(91, seed=4, texture=0.0).scan(voxel_size=VOXEL, echo_times=(0.001,))
    np.testing.assert_allclose(head.truth["m0"].array, coarse.truth["m0"].array, atol=1e-6)


def test_a_seed_decides_everything(small):
    def magnitude(seed, snr):
        scanner = Scanner(91, ("veins",), seed=seed, subdivision=2, flat=1.0, splines=True)
        return scanner.scan(voxel_size=(2.0, 2.0, 2.0), echo_times=(0.004,), snr=snr).gre.magnitude

    first = magnitude(5, 30.0)
    np.testing.assert_array_equal(first, magnitude(5, 30.0))
    assert not np.array_equal(first, magnitude(6, 30.0))


def test_signal_is_lost_where_air_is_near(small):
    """Beyond its decay by R2*, by dephasing inside the voxels: no other process is in the signal."""
    head = Scanner(91, seed=4, subdivision=2, flat=1.0, splines=True, close_skull=True).scan(
        voxel_size=VOXEL, echo_times=(0.004, 0.028)
    )
    decay = head.gre.magnitude[..., 1] / head.gre.magnitude[..., 0]
    kept = decay / np.exp(-0.024 * head.truth["r2star"].array)
    gradient = np.linalg.norm(np.gradient(head.truth["background_field"].array), axis=0)
    steep = head.mask & (gradient > np.quantile(gradient[head.mask], 0.98))
    flat = head.mask & (gradient < np.quantile(gradient[head.mask], 0.5))
    assert np.median(kept[steep]) < 0.7
    assert np.median(kept[flat]) > 0.9


def test_artefacts_change_the_signal_and_not_the_truth(scanner, scanned):
    artefacts = Artefacts(flow=0.5, ghost=0.5, unevenness=3.0)
    found = scanner.scan(voxel_size=VOXEL, echo_times=(0.001, 0.003), artefacts=artefacts)
    for name, image in scanned.truth.items():
        np.testing.assert_array_equal(found.truth[name].array, image.array)
    assert found.settings["ghost"] == 0.5
    assert not np.allclose(found.gre.magnitude, scanned.gre.magnitude)


def test_a_deformed_head_is_another_head_of_the_same_seed(small):
    scanners = [Scanner(91, seed=4, deformation=size, flat=1.0, splines=True) for size in (0.0, 3.0)]
    same, other = (s.scan(voxel_size=(2.0, 2.0, 2.0), echo_times=(0.004,)) for s in scanners)
    assert 0.5 < other.mask.sum() / same.mask.sum() < 2
    assert (same.mask != other.mask).mean() > 0.01
