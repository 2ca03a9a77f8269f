"""The same head, stored or cut in another way, gives the same maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.stages.background.vsharp import VsharpParams, vsharp
from qsmengine.stages.inversion.fansi_tgv import FansiTgvParams, fansi_tgv
from qsmengine.stages.inversion.hd_qsm import HdQsmParams, hd_qsm
from qsmengine.stages.inversion.ilsqr import IlsqrParams, ilsqr
from qsmengine.stages.inversion.l1_qsm import L1QsmParams, l1_qsm
from qsmengine.stages.inversion.medi import MediParams, medi
from qsmengine.stages.inversion.tkd import TkdParams, tkd
from qsmengine.stages.inversion.weighted_tv import WeightedTvParams, weighted_tv
from qsmengine.stages.single_step.tfi import TfiParams, tfi
from qsmengine.stages.single_step.tgv import TgvParams, tgv
from qsmengine.units import rad_per_ppm

TOLERANCE = 3e-5
"""[ppm]"""
FEW: dict[str, Any] = {"iterations": 20, "tolerance": 0.0}
ITERATIVE: dict[str, tuple[Callable[..., Array], Any]] = {
    "l1_qsm": (l1_qsm, L1QsmParams(**FEW)),
    "hd_qsm": (hd_qsm, HdQsmParams(first_iterations=10, **FEW)),
    "fansi_tgv": (fansi_tgv, FansiTgvParams(**FEW)),
    "ilsqr": (ilsqr, IlsqrParams(**FEW)),
}


@cache
def head(tilt: float = 0.0) -> VirtualHead:
    direction = (0.0, float(np.sin(tilt)), float(np.cos(tilt)))
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), b0_direction=direction, snr=None, seed=4)


def chain(field: np.ndarray, mask: np.ndarray, grid: Grid, device: Device) -> dict[str, np.ndarray]:
    local, reliable = vsharp(field, mask, grid, VsharpParams(max_radius=20.0), device=device)
    # The choice of edges jumps with the rounding of the local field; the test below has the same local field.
    tv = WeightedTvParams(iterations=30, tolerance=0.0, own_edges=0.0)
    results = {
        "local_field": local,
        "tkd": tkd(local, reliable, grid, TkdParams(), device=device),
        "weighted_tv": weighted_tv(local, reliable, grid, tv, device=device),
    }
    for name, (method, params) in ITERATIVE.items():
        results[name] = method(local, reliable, grid, params, device=device)
    return {name: to_numpy(array) for name, array in results.items()}


def single_steps(
    field: np.ndarray, mask: np.ndarray, magnitude: np.ndarray, grid: Grid, device: Device
) -> dict[str, np.ndarray]:
    """MEDI and the methods of a single step, which have neither the chain's inputs nor its outputs."""
    short: dict[str, Any] = {"iterations": 20, "tolerance": 0.0}
    series = magnitude[..., np.newaxis]
    local = vsharp(field, mask, grid, VsharpParams(max_radius=20.0), device=device)
    smv = MediParams(**short, merit=1, smv_radius=8.0)
    plain = MediParams(**short, merit=1)
    phase = np.angle(np.exp(1j * rad_per_ppm(3.0, 0.01) * field))[..., np.newaxis].astype(np.float32)
    total = tfi(field, mask, grid, TfiParams(**short, inner_edges=0.0), device=device, magnitude=series)
    wrapped = tgv(phase, mask, (0.01,), grid, TgvParams(**short), device=device, magnitude=series)
    results = {
        "medi": medi(*local, grid, plain, device=device, magnitude=series),
        "medi with SMV": medi(*local, grid, smv, device=device),
        "tfi": total.chi, "tfi's field": total.local_field, "tgv": wrapped.chi,
    }  # fmt: skip
    return {name: to_numpy(array) for name, array in results.items()}


def stored(array: np.ndarray, axes: tuple[int, ...], flips: tuple[int, ...]) -> np.ndarray:
    return np.flip(array.transpose(axes), flips)


def stored_grid(grid: Grid, axes: tuple[int, ...], flips: tuple[int, ...]) -> Grid:
    matrix = grid.affine[:3, axes].copy()
    origin = grid.affine[:3, 3].copy()
    shape = (grid.shape[axes[0]], grid.shape[axes[1]], grid.shape[axes[2]])
    for axis in flips:
        origin += matrix[:, axis] * (shape[axis] - 1)
        matrix[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return Grid(shape, affine, grid.field_strength)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), ()), ((1, 0, 2), (0,)), ((0, 1, 2), (0, 1, 2))])
def test_order_and_direction_of_the_axes_do_not_matter(
    axes: tuple[int, ...], flips: tuple[int, ...], tilt: float, device: Device
) -> None:
    case = head(tilt)
    field, mask = case.truth["total_field"].array, case.mask
    expected = chain(field, mask, case.grid, device)
    other = stored_grid(case.grid, axes, flips)
    got = chain(stored(field, axes, flips), stored(mask, axes, flips), other, device)
    for name, array in expected.items():
        assert np.abs(got[name] - stored(array, axes, flips)).max() <= TOLERANCE, name


@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), ()), ((1, 0, 2), (0,)), ((0, 1, 2), (0, 1, 2))])
def test_edges_of_a_first_chi_are_the_same_in_any_order(
    axes: tuple[int, ...], flips: tuple[int, ...], device: Device
) -> None:
    case, params = head(0.4), WeightedTvParams(iterations=20, tolerance=0.0)
    field, mask = case.truth["local_field"].array, case.mask
    expected = to_numpy(weighted_tv(field, mask, case.grid, params, device=device))
    other = stored_grid(case.grid, axes, flips)
    moved, inside = (np.ascontiguousarray(stored(image, axes, flips)) for image in (field, mask))
    got = to_numpy(weighted_tv(moved, inside, other, params, device=device))
    assert np.abs(expected).max() > 0.01
    assert np.abs(got - stored(expected, axes, flips)).max() <= 1e-6


@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), (1,)), ((0, 1, 2), (0, 2))])
def test_order_and_direction_of_the_axes_do_not_matter_to_single_steps_and_medi(
    axes: tuple[int, ...], flips: tuple[int, ...], device: Device
) -> None:
    case = head(0.4)
    field, mask, magnitude = case.truth["total_field"].array, case.mask, case.truth["m0"].array
    expected = single_steps(field, mask, magnitude, case.grid, device)
    other = stored_grid(case.grid, axes, flips)
    images = [stored(image, axes, flips) for image in (field, mask, magnitude)]
    got = single_steps(images[0], images[1], images[2], other, device)
    for name, array in expected.items():
        assert np.abs(array).max() > 0.01, name
        assert np.abs(got[name] - stored(array, axes, flips)).max() <= TOLERANCE, name


@pytest.mark.parametrize("extra", [(1, 0, 0), (0, 1, 0), (1, 1, 1), (0, 3, 2)])
def test_empty_slices_and_odd_sizes_do_not_matter(extra: tuple[int, ...], device: Device) -> None:
    case = head()
    pad = [(0, e) for e in extra]
    field, mask = case.truth["total_field"].array, case.mask
    expected = chain(field, mask, case.grid, device)
    larger = Grid(tuple(n + e for n, e in zip(mask.shape, extra, strict=True)), case.grid.affine, 3.0)
    got = chain(np.pad(field, pad), np.pad(mask, pad), larger, device)
    box = tuple(slice(0, n) for n in mask.shape)
    for name, array in expected.items():
        assert np.abs(got[name][box] - array).max() <= TOLERANCE, name


def test_b0_comes_from_an_oblique_affine_as_from_its_direction(device: Device) -> None:
    case = head(0.4)
    field, mask = case.truth["total_field"].array, case.mask
    expected = chain(field, mask, case.grid, device)
    straight = Grid.from_voxel_size(
        mask.shape, case.grid.voxel_size, field_strength=3.0, b0_direction=(0.0, np.sin(0.4), np.cos(0.4))
    )
    for name, array in chain(field, mask, straight, device).items():
        assert np.abs(array - expected[name]).max() <= TOLERANCE, name
