"""Gradient tables that can and cannot determine a tensor."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.stages.diffusion.design import design_matrix, shells, tensor_design
from tests.stages.diffusion.tensors import gradient_table


def test_coefficients_solve_least_squares(rng):
    b, g = gradient_table(rng, 19, b0=2)
    design = tensor_design(b, g, 0.0)
    y = rng.normal(size=len(b))
    padded = np.concatenate([y, np.zeros(-len(b) % 8)]).reshape(-1, 8)
    beta = design.up @ np.einsum("bkj,bj->k", design.basis, padded)
    beta[1:] /= design.b_max
    expected = np.linalg.lstsq(design_matrix(b, g) * np.r_[1, np.full(6, 1e-3)], y, rcond=None)[0]
    np.testing.assert_allclose(beta * np.r_[1, np.full(6, 1e3)], expected, rtol=2e-4, atol=1e-5)


def test_products_are_those_of_the_basis(rng):
    design = tensor_design(*gradient_table(rng, 13), 0.0)
    rows, columns = np.tril_indices(7)
    np.testing.assert_allclose(design.products, design.basis[:, rows] * design.basis[:, columns], atol=1e-7)


def test_five_directions_are_named_with_the_rank(rng):
    b, g = gradient_table(rng, 5)
    with pytest.raises(InputError, match=r"rank 6, .* need 7: 9 volumes, 5 of them .* along 5 different"):
        tensor_design(b, g, 0.0)


def test_repeated_and_opposite_directions_count_once(rng):
    b, g = gradient_table(rng, 5, b0=1)
    b, g = np.concatenate([b, b[1:]]), np.concatenate([g, -g[1:]])
    with pytest.raises(InputError, match=r"rank 6, .* along 5 different directions"):
        tensor_design(b, g, 0.0)


def test_b0_only_is_refused():
    with pytest.raises(InputError, match=r"rank 1, .* 0 of them with b > 0"):
        tensor_design(np.zeros(12), np.zeros((12, 3)), 0.0)


def test_one_shell_without_b0_is_refused(rng):
    b, g = gradient_table(rng, 30, b0=0)
    with pytest.raises(InputError, match=r"rank 6"):
        tensor_design(b, g, 0.0)


def test_directions_in_a_plane_are_refused(rng):
    b, g = gradient_table(rng, 30)
    g[:, 2] = 0.0
    g[4:] /= np.linalg.norm(g[4:], axis=1, keepdims=True)
    with pytest.raises(InputError, match=r"rank 4"):
        tensor_design(b, g, 0.0)


def test_two_shells_without_b0_will_do(rng):
    b, g = gradient_table(rng, 20, b_values=(700.0, 2000.0), b0=0)
    assert tensor_design(b, g, 0.0).b_max == 2000.0


def test_b0_threshold_decides_what_counts_as_zero(rng):
    b, g = gradient_table(rng, 20)
    low = np.where(b == 0, 5.0, b)
    g[:4] = [0.0, 0.0, 1.0]
    np.testing.assert_array_equal(tensor_design(low, g, 10.0).up, tensor_design(b, g, 0.0).up)
    assert not np.array_equal(tensor_design(low, g, 0.0).up, tensor_design(b, g, 0.0).up)


def change(array, index, value):
    out = array.copy()
    out[index] = value
    return out


def test_malformed_tables_are_named(rng):
    b, g = gradient_table(rng, 20)
    bad = [
        (b[:-1], g, "do not fit"),
        (b, g.T, "do not fit"),
        (change(b, 3, np.nan), g, "finite"),
        (change(b, 3, -1.0), g, "negative"),
        (b, change(g, (7, 1), np.inf), "finite"),
        (b, change(g, 7, 0.0), r"volume 8 \(b = 1000\) is not a unit vector"),
        (b, change(g, 9, 2 * g[9]), "volume 10 .* is not a unit vector"),
    ]
    for b_values, b_vectors, message in bad:
        with pytest.raises(InputError, match=message):
            tensor_design(b_values, b_vectors, 0.0)


def test_shells_are_told_apart():
    b = np.array([0, 995, 1005, 1000, 2000, 1990, 0, 3010, 2990])
    assert shells(b) == [1000.0, 1995.0, 3000.0]
