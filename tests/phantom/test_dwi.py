import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.dwi import dwi_signal, fibre_direction


@pytest.fixture(scope="module")
def fitted(head):
    """Log-linear tensor fit of the noise-free head, written out here: matrices (n, 3, 3) inside the mask."""
    g = head.dwi.b_vectors * np.array([-1.0, 1.0, 1.0])  # FSL's x is reversed on a RAS grid
    x, y, z = g.T
    design = (
        np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1) * -head.dwi.b_values[:, None]
    )
    design = np.column_stack([design, np.ones(len(g))])
    signal = np.log(head.dwi.signal[head.mask].astype(np.float64))
    xx, yy, zz, xy, xz, yz, s0 = np.linalg.lstsq(design, signal.T, rcond=None)[0]
    matrices = np.moveaxis(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]), 2, 0)
    return matrices, np.exp(s0)


def test_tensor_fit_gives_the_true_maps_back(head, fitted):
    matrices, s0 = fitted
    values, vectors = np.linalg.eigh(matrices)
    mean = values.mean(axis=1)
    fa = np.sqrt(1.5 * ((values - mean[:, None]) ** 2).sum(1) / (values**2).sum(1))
    truth = {name: head.truth[name].array[head.mask] for name in ("fa", "md", "v1", "s0")}
    np.testing.assert_allclose(mean, truth["md"], rtol=1e-4)
    np.testing.assert_allclose(fa, truth["fa"], atol=2e-4)
    np.testing.assert_allclose(s0, truth["s0"], rtol=1e-4)
    clear = truth["fa"] > 0.1
    agreement = np.abs((vectors[:, :, 2] * truth["v1"]).sum(1))[clear]
    assert clear.sum() > 3000
    assert agreement.min() > 0.9999


def test_white_matter_is_anisotropic_and_fluid_is_not(head):
    fa, md = head.truth["fa"].array, head.truth["md"].array
    white, fluid = (np.isin(head.labels, labels) & head.mask for labels in ((2, 41), (4, 43)))
    assert 0.35 < np.median(fa[white]) < 0.46
    assert 0.65e-3 < np.median(md[white]) < 0.85e-3
    assert np.median(fa[fluid]) < 0.05
    assert np.median(md[fluid]) > 2e-3


def test_fibre_directions_are_smooth_symmetric_unit_axes(rng):
    position = rng.uniform(-70, 70, size=(2000, 3))
    position = position[np.abs(position[:, 0]) > 10]
    direction = fibre_direction(position)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0)
    moved = fibre_direction(position + rng.uniform(-0.5, 0.5, size=position.shape))
    assert np.abs((direction * moved).sum(1)).min() > 0.95
    mirror = fibre_direction(position * [-1, 1, 1]) * [-1, 1, 1]
    np.testing.assert_allclose(np.abs((direction * mirror).sum(1)), 1.0)
    across = fibre_direction(np.array([[0.0, 0.0, 60.0]]))[0]
    np.testing.assert_allclose(np.abs(across), [1.0, 0.0, 0.0], atol=1e-4)
    down = fibre_direction(np.array([[1.0, 0.0, -60.0]]))[0]
    np.testing.assert_allclose(np.abs(down), [0.0, 0.0, 1.0], atol=1e-4)


def test_noise_is_rician(rng):
    grid = Grid((30, 30, 30), np.diag([2.0, 2.0, 2.0, 1.0]))
    s0 = np.zeros(grid.shape, np.float32)
    s0[15:] = 400.0
    series = dwi_signal(
        tensors=np.zeros((*grid.shape, 6), np.float32), s0=s0, b_values=np.zeros(2), b_vectors=np.zeros((2, 3)),
        grid=grid, snr=20.0, reference=s0 > 0, rng=rng,
    )  # fmt: skip
    sigma = 400.0 / 20.0
    empty, full = series.signal[:15], series.signal[15:]
    assert empty.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.01)
    assert full.std() == pytest.approx(sigma, rel=0.02)
    assert full.mean() == pytest.approx(400.0 + sigma**2 / 800.0, rel=1e-3)
    assert np.abs(series.signal[..., 0] - series.signal[..., 1]).max() > 0
