import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.backend.fft import RealFFT
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.noise_level import noise_level

SHAPE = (48, 40, 44)


def brain_field(rng):
    """Field of smooth patches, as in tissue, by a tilted dipole."""
    spectrum = np.fft.rfftn(rng.standard_normal(SHAPE))
    k = np.meshgrid(
        *(np.fft.fftfreq(n) for n in SHAPE[:2]), np.fft.rfftfreq(SHAPE[2]), indexing="ij", sparse=True
    )
    smooth = np.exp(-0.5 * sum((2 * np.pi * a * 1.5) ** 2 for a in k))
    tissue = np.where(np.fft.irfftn(spectrum * smooth, SHAPE, axes=(0, 1, 2)) > 0, 0.03, -0.02).astype(
        np.float32
    )
    chi = np.fft.irfftn(
        np.fft.rfftn(tissue) * np.exp(-0.5 * sum((2 * np.pi * a) ** 2 for a in k)), SHAPE, axes=(0, 1, 2)
    )
    response = dipole_response(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.26, 0.9656), cpu())
    return RealFFT(SHAPE, cpu()).filter(chi.astype(np.float32), response)


@pytest.mark.parametrize("sigma", [1e-3, 2e-3, 5e-3])
def test_white_noise_is_found_beside_the_field_of_sources(device, sigma):
    rng = np.random.default_rng(round(sigma * 1e6))
    mask = np.zeros(SHAPE, bool)
    mask[4:-4, 4:-4, 4:-4] = True
    noisy = brain_field(rng) + np.float32(sigma) * rng.standard_normal(SHAPE, dtype=np.float32)
    assert noise_level(device.asarray(noisy), mask, device) == pytest.approx(sigma, rel=0.1)


def test_a_field_without_noise_has_little_and_a_constant_none(device):
    rng = np.random.default_rng(8)
    field, mask = brain_field(rng), np.ones(SHAPE, bool)
    assert noise_level(field, mask, device) < 0.03 * field.std()
    assert noise_level(np.full(SHAPE, 0.3, np.float32), mask, device) == 0


def test_the_level_scales_with_the_field_and_ignores_what_lies_outside_the_mask(device):
    rng = np.random.default_rng(9)
    field = rng.standard_normal(SHAPE, dtype=np.float32)
    mask = rng.random(SHAPE) < 0.97
    level = noise_level(field, mask, device)
    assert noise_level(np.where(mask, field * 4, 1e6).astype(np.float32), mask, device) == pytest.approx(
        4 * level
    )


def test_a_mask_without_neighbours_gives_no_level(device):
    mask = np.zeros(SHAPE, bool)
    mask[10, 10, :] = True
    assert noise_level(np.ones(SHAPE, np.float32), mask, device) == 0
