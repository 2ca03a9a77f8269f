import math

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.field_split import SplitFieldModel

OBLIQUE = (0.36, -0.48, 0.8)
SHAPE = (44, 40, 46)


def models(shape=SHAPE, direction=OBLIQUE):
    return (kind.on_cpu(shape, (0.5, 0.5, 0.5), direction) for kind in (SplitFieldModel, FieldModel))


def test_field_of_smooth_chi_is_the_dipole_of_its_splines(rng):
    """The k-space dipole on a grid of four times the size, with the splines' spectrum."""
    from scipy.ndimage import gaussian_filter

    chi = np.zeros(SHAPE, np.float32)
    chi[8:-8, 8:-8, 8:-8] = rng.normal(size=tuple(n - 16 for n in SHAPE))
    chi = gaussian_filter(chi, 1.5)
    padded = [4 * n for n in SHAPE]
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in padded), indexing="ij", sparse=True)
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    along = sum(a * b for a, b in zip(k, OBLIQUE, strict=True))
    response = (1 / 3 - along**2 / np.where(square > 0, square, 1)) * math.prod(np.sinc(f) ** 4 for f in k)
    expected = np.fft.ifftn(np.fft.fftn(chi, padded, (0, 1, 2)) * response).real
    expected = expected[tuple(slice(0, n) for n in SHAPE)]
    split, _ = models()
    assert np.abs(split.field(chi) - expected).max() < 0.003 * np.abs(expected).max()


def test_a_distant_source_is_a_point():
    chi = np.zeros(SHAPE, np.float32)
    chi[5, 6, 7] = 8.0
    split, boxes = models()
    found, expected = split.field(chi), boxes.field(chi)
    far = np.linalg.norm(np.moveaxis(np.indices(SHAPE), 0, -1) - [5, 6, 7], axis=-1) > 10
    np.testing.assert_allclose(found[far], expected[far], atol=4e-3 * np.abs(expected[far]).max())


def test_a_uniform_sphere_has_no_field_inside():
    away = np.moveaxis(np.indices((48, 48, 48)), 0, -1) - 23.5
    chi = (np.linalg.norm(away, axis=-1) < 12).astype(np.float32)
    split, _ = models(chi.shape, (0.0, 0.6, 0.8))
    field = split.field(chi)
    assert np.abs(field[np.linalg.norm(away, axis=-1) < 8]).max() < 0.01
    r = np.array([23.5, 23.5, 23.5 + 18])
    along = (18 * 0.8 / 18) ** 2
    near = field[23:25, 23:25, int(r[2]) : int(r[2]) + 2].mean()
    assert near == pytest.approx((along - 1 / 3) * chi.sum() * 3 / (4 * math.pi * 18**3), rel=0.03)


def test_anisotropic_voxels_and_other_shapes_are_refused():
    with pytest.raises(InputError, match="isotropic"):
        SplitFieldModel.on_cpu(SHAPE, (0.5, 0.5, 1.0), OBLIQUE)
    split, _ = models()
    with pytest.raises(InputError, match="has shape"):
        split.field(np.zeros((4, 4, 4), np.float32))
