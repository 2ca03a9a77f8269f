"""The comparison of two devices sees what the data determine, and nothing that rounding alone decides."""

import numpy as np
import pytest

from bench.inputs.heads import Image
from tests.contract.running import difference, tolerance

SHAPE = (3, 4, 5)


def maps(eigenvalues, **others):
    """Results of a fit that gives every voxel these eigenvalues and the axes as eigenvectors."""
    found = {f"l{k + 1}": np.full(SHAPE, value, np.float32) for k, value in enumerate(eigenvalues)}
    found |= {f"v{k + 1}": np.tile(np.eye(3, dtype=np.float32)[k], (*SHAPE, 1)) for k in range(3)}
    found |= {"mo": np.full(SHAPE, 0.5, np.float32), "status": np.ones(SHAPE, np.float32)}
    return found | {name: np.full(SHAPE, value, np.float32) for name, value in others.items()}


def agrees(name, unit, found, expected):
    return difference(name, found, expected) <= tolerance(name, unit, expected)


def turned(expected, name, angle):
    vector = np.array([np.cos(angle), np.sin(angle), 0.0], np.float32)
    return expected | {name: np.tile(vector, (*SHAPE, 1))}


@pytest.mark.parametrize(
    ("eigenvalues", "seen"),
    [
        ((1.5e-3, 0.4e-3, 0.3e-3), True),
        ((1.5e-3, 1.49999e-3, 0.3e-3), False),
        ((-1e-6, -1.000001e-6, -1e-3), False),
    ],
    ids=["one axis", "two equal eigenvalues", "negative eigenvalues"],
)
def test_a_turned_eigenvector_counts_where_its_eigenvalue_is_distinct(eigenvalues, seen):
    expected = maps(eigenvalues)
    assert agrees("v1", "1", turned(expected, "v1", 1e-3), expected) is not seen


def test_a_wrapped_phase_has_no_turns() -> None:
    expected = {"phase": np.full(SHAPE, np.pi, np.float32)}
    for shift, same in ((-2 * np.pi, True), (-2 * np.pi + 1e-3, False)):
        assert agrees("phase", "rad", {"phase": expected["phase"] + np.float32(shift)}, expected) is same


def test_an_eigenvector_has_no_sign():
    expected = maps((1.5e-3, 0.4e-3, 0.3e-3))
    assert agrees("v1", "1", expected | {"v1": -expected["v1"]}, expected)


@pytest.mark.parametrize(
    ("eigenvalues", "seen"), [((1.5e-3, 0.4e-3, 0.3e-3), True), ((1.0e-3, 1.0e-3, 0.9999e-3), False)]
)
def test_the_mode_counts_where_the_tensor_has_an_anisotropic_part(eigenvalues, seen):
    expected = maps(eigenvalues)
    changed = expected | {"mo": expected["mo"] + np.float32(3e-4)}
    assert agrees("mo", "1", changed, expected) is not seen


@pytest.mark.parametrize(("water", "seen"), [(0.1, True), (0.95, False)])
def test_a_tissue_map_counts_by_the_tissue_s_share(water, seen):
    expected = maps((1.5e-3, 0.4e-3, 0.3e-3), free_water=water)
    changed = expected | {"l1": expected["l1"] * np.float32(1.0003)}
    assert agrees("l1", "mm^2/s", changed, expected) is not seen
    less = expected | {"free_water": expected["free_water"] - np.float32(3e-4)}
    assert not agrees("free_water", "1", less, expected)


@pytest.mark.parametrize(("share", "seen"), [(1.0, True), (0.1, False)])
def test_a_kurtosis_counts_by_the_square_of_the_diffusivity(share, seen):
    expected = maps((1.5e-3, 0.4e-3, 0.3e-3), mk=1.0, md=0.7e-3)
    voxel = (1, 2, 3)
    expected["md"][voxel] *= share
    changed = expected | {"mk": expected["mk"].copy()}
    changed["mk"][voxel] += 5e-4
    assert agrees("mk", "1", changed, expected) is not seen


@pytest.mark.parametrize(("size", "seen"), [(1.0, True), (0.1, False)])
def test_the_anisotropy_of_the_kurtosis_counts_by_the_kurtosis(size, seen):
    expected = maps((1.5e-3, 0.4e-3, 0.3e-3), kfa=0.5)
    expected["kurtosis_tensor"] = np.full((*SHAPE, 15), size, np.float32)
    changed = expected | {"kfa": expected["kfa"] + np.float32(2e-4)}
    assert agrees("kfa", "1", changed, expected) is not seen


@pytest.mark.parametrize(("factor", "same"), [(1.0001, True), (1.0005, False)])
def test_a_sum_of_squares_is_compared_by_its_root(factor, same):
    expected = maps((1.5e-3, 0.4e-3, 0.3e-3), sse=17.0)
    assert agrees("sse", "1", expected | {"sse": expected["sse"] * np.float32(factor)}, expected) is same


def test_a_time_constant_is_compared_by_its_rate():
    expected = {"t2star": np.array([0.02, 1.0, 0.0], np.float32)}
    for factor, same in (([1.0, 1.001, 1.0], True), ([1.001, 1.0, 1.0], False)):
        changed = {"t2star": expected["t2star"] * np.array(factor, np.float32)}
        assert agrees("t2star", "s", changed, expected) is same


@pytest.mark.parametrize(("voxels", "same"), [(1, True), (5, False)])
def test_few_voxels_may_end_in_another_way_and_are_left_out(voxels, same):
    shape = (10, 10, 10)
    expected: dict[str, Image] = {"status": np.ones(shape, np.float32), "l1": np.ones(shape, np.float32)}
    expected |= {"l2": expected["l1"] / 2, "l3": expected["l1"] / 4}
    changed = {name: image.copy() for name, image in expected.items()}
    changed["status"].flat[:voxels] = 5.0
    changed["l1"].flat[:voxels] = 1.1
    assert agrees("status", "1", changed, expected) is same
    assert agrees("l1", "1", changed, expected)
    changed["l1"].flat[voxels] = 1.1
    assert not agrees("l1", "1", changed, expected)
