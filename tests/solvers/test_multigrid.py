"""The Laplacian on a mask against sparse matrices; its V-cycle is a good, symmetric preconditioner."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, sparse

from qsmengine.backend.device import to_numpy
from qsmengine.solvers.cg import solve_cg
from qsmengine.solvers.multigrid import MaskedLaplacian
from qsmengine.solvers.stopping import Stopping

SPACINGS = [(1.0, 1.0, 1.0), (0.8, 1.1, 2.5), (3.0, 1.0, 1.2)]
every_spacing = pytest.mark.parametrize("spacing", SPACINGS)


def blob(rng, shape):
    """A ragged region that stays off the ends of the array."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    inside = smooth > np.quantile(smooth, 0.4)
    inner = np.zeros(shape, bool)
    inner[1:-1, 1:-1, 1:-1] = True
    return inside & inner


def dense_laplacian(shape, spacing):
    """Sparse matrix on the whole array, zero beyond it."""
    eye = [sparse.identity(n) for n in shape]
    second = [
        sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(n, n)) / h**2
        for n, h in zip(shape, spacing, strict=True)
    ]
    along = []
    for axis in range(3):
        parts = [second[a] if a == axis else eye[a] for a in range(3)]
        along.append(sparse.kron(sparse.kron(parts[0], parts[1]), parts[2], format="csr"))
    total = -(along[0] + along[1] + along[2])
    for d, e in ((0, 1), (0, 2), (1, 2)):
        total = total - (spacing[d] ** 2 + spacing[e] ** 2) / 12 * (along[d] @ along[e])
    return total.tocsr()


@every_spacing
def test_operator_equals_the_sparse_matrix(spacing, device, rng):
    shape = (9, 11, 10)
    inside = blob(rng, shape)
    v = rng.standard_normal(shape).astype(np.float32)
    expected = np.where(inside, (dense_laplacian(shape, spacing) @ v.reshape(-1)).reshape(shape), 0)
    found = MaskedLaplacian(device.asarray(inside, bool), spacing, device).apply(device.asarray(v))
    assert np.abs(to_numpy(found) - expected).max() <= 1e-5 * np.abs(expected).max()


@every_spacing
def test_harmonic_polynomials_of_fourth_degree_have_no_laplacian(spacing, device):
    shape = (9, 9, 9)
    x, y, z = np.meshgrid(*[(np.arange(9) - 4) * h for h in spacing], indexing="ij")
    inside = np.zeros(shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    laplacian = MaskedLaplacian(device.asarray(inside, bool), spacing, device)
    for u, v in ((x, y), (y, z), (x, z)):
        harmonic = u**4 - 6 * u**2 * v**2 + v**4
        found = to_numpy(laplacian.apply(device.asarray(harmonic)))
        assert np.abs(found).max() <= 1e-5 * np.abs(harmonic).max()


@every_spacing
@pytest.mark.parametrize("shape", [(17, 12, 9), (8, 20, 15)])
def test_v_cycle_is_symmetric_and_positive(spacing, shape, device, rng):
    inside = blob(rng, shape)
    laplacian = MaskedLaplacian(device.asarray(inside, bool), spacing, device)
    a, b = (inside * rng.standard_normal(shape) for _ in range(2))
    ma, mb = (to_numpy(laplacian.precondition(device.asarray(v))).astype(float) for v in (a, b))
    assert not ma[~inside].any()
    assert (a * ma).sum() > 0
    assert (a * mb).sum() == pytest.approx((b * ma).sum(), abs=1e-5 * (a * ma).sum())


@every_spacing
@pytest.mark.parametrize("n", [12, 24, 44])
def test_iterations_do_not_grow_with_the_size(spacing, n, device, rng):
    shape = (n, n + 3, n - 2)
    inside = blob(rng, shape)
    laplacian = MaskedLaplacian(device.asarray(inside, bool), spacing, device)
    truth = inside * ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    b = laplacian.apply(device.asarray(truth)).copy()
    x, status = solve_cg(laplacian.apply, b, device, Stopping(40, 1e-5, 1), laplacian.precondition)
    assert status.reason == "converged"
    assert status.iteration <= 16
    assert np.abs(to_numpy(x) - truth).max() <= 1e-3 * np.abs(truth).max()
