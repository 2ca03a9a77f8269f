import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.sampling import KSpaceSampler
from qsmengine.phantom.scanner import Scanner
from qsmengine.units import rad_per_ppm

VOXEL = (4.0, 4.0, 4.0)
OBLIQUE = (0.3, 0.2, float(np.sqrt(1 - 0.13)))


@pytest.fixture(scope="module")
def scanner():
    return Scanner(3, ("veins",), OBLIQUE, seed=2)


@pytest.fixture(scope="module")
def scanned(scanner):
    return scanner.scan(voxel_size=VOXEL, echo_times=(0.002,))


def sampler(shape, voxel_size):
    return KSpaceSampler(Grid.from_voxel_size(shape, (1.0, 1.0, 1.0)), voxel_size)


def test_waves_below_half_of_the_nyquist_frequency_pass_and_higher_ones_fade():
    n, size = 192, 2.0
    x = np.arange(n)[:, None, None] + 0.5
    target = (np.arange(n // 2)[:, None, None] + 0.5) * size
    middle = slice(30, -30)
    for cycles, gain in ((0.05, 1.0), (0.12, 1.0), (0.1875, 0.5), (0.25, 0.0), (0.4, 0.0)):
        wave = np.cos(2 * np.pi * cycles * x + 0.7) * np.ones((n, 1, 1))
        along_x = sampler((n, 1, 1), (size, 1.0, 1.0))
        passed = along_x.sample(wave.astype(np.float32))[middle]
        single = along_x.sample(np.ones((n, 1, 1), np.float32))[middle].mean()
        expected = gain * np.cos(2 * np.pi * cycles * target + 0.7)[middle] * single
        np.testing.assert_allclose(passed, expected, atol=5e-3)


def test_constant_boxes_integrate_to_the_same_sum(rng):
    image = np.zeros((40, 36, 30), np.float32)
    image[14:26, 12:24, 10:20] = rng.normal(size=(12, 12, 10)) + 3
    for order in (0, 1, 2):
        sampled = sampler(image.shape, (2.0, 3.0, 2.5)).sample(image, order=order)
        assert sampled.shape == (20, 12, 12)
        assert sampled.sum() * 2.0 * 3.0 * 2.5 == pytest.approx(image.sum(), rel=0.02)


def test_complex_images_are_sampled_like_their_parts(rng):
    image = rng.normal(size=(12, 10, 8)) + 1j * rng.normal(size=(12, 10, 8))
    both = sampler(image.shape, (2.0, 2.0, 2.0))
    np.testing.assert_allclose(
        both.sample(image), both.sample(image.real) + 1j * both.sample(image.imag), atol=1e-12
    )


@pytest.mark.slow
def test_field_is_the_dipole_of_chi_for_an_oblique_b0(scanned):
    """The plain k-space dipole on a grid of twice the size, from the truth's chi inside the mask."""
    chi = np.where(scanned.mask, scanned.truth["chi"].array, 0)
    padded = [2 * n for n in chi.shape]
    k = np.meshgrid(*(np.fft.fftfreq(n, 4.0) for n in padded), indexing="ij", sparse=True)
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    along = sum(a * b for a, b in zip(k, scanned.grid.b0_direction, strict=True))
    dipole = 1 / 3 - along**2 / np.where(square > 0, square, 1)
    field = np.fft.ifftn(np.fft.fftn(chi, padded, (0, 1, 2)) * dipole).real[
        tuple(slice(0, n) for n in chi.shape)
    ]
    difference = (field - scanned.truth["local_field"].array)[scanned.mask]
    local = scanned.truth["local_field"].array[scanned.mask]
    assert (difference - difference.mean()).std() < 0.12 * local.std()


@pytest.mark.slow
def test_phase_of_a_short_echo_is_the_total_field(scanned, scanner):
    assert scanned.settings["Sampling"] == "k-space"
    np.testing.assert_allclose(scanned.grid.b0_direction, OBLIQUE, atol=1e-9)
    later = scanner.scan(voxel_size=VOXEL, echo_times=(0.004,))
    turned = scanned.gre.phase[..., 0] - later.gre.phase[..., 0]
    difference = np.angle(np.exp(1j * turned))[scanned.mask]
    expected = -rad_per_ppm(3.0, 0.002) * scanned.truth["total_field"].array[scanned.mask]
    error = np.angle(np.exp(1j * (difference - expected)))
    assert np.median(np.abs(error)) < 0.01
    assert np.quantile(np.abs(error), 0.9) < 0.06


@pytest.mark.slow
def test_total_is_local_plus_background_and_noise_has_the_snr_asked_for(scanner, scanned):
    truth = {name: m.array for name, m in scanned.truth.items()}
    np.testing.assert_allclose(
        truth["total_field"], truth["local_field"] + truth["background_field"], atol=1e-6
    )
    noisy = scanner.scan(voxel_size=VOXEL, echo_times=(0.002,), snr=50.0)
    white = np.isin(noisy.labels, (2, 41)) & noisy.mask
    clean = scanned.gre.magnitude[..., 0]
    sd = (noisy.gre.magnitude[..., 0] - clean)[white].std()
    assert clean[white].mean() / sd == pytest.approx(50.0, rel=0.1)


def test_voxels_below_the_label_grid_are_refused():
    with pytest.raises(UsageError, match="smaller than the simulation"):
        Scanner().scan(voxel_size=(0.5, 1.0, 1.0))
