"""Tensor fit: exactness, frames, memory order, and parity with DIPY and a scanner."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.planes import as_planes
from qsmengine.stages.diffusion.tensor import TensorParams, ols, wls
from tests.stages.diffusion.tensors import full, gradient_table, random_tensors, signals, six

SMALL = Path(__file__).parents[2] / "data" / "dipy-small-dwi"
METHODS = pytest.mark.parametrize("method", [ols, wls], ids=["ols", "wls"])
CPU = cpu(2)


def series(tensors, s0, b, g, shape):
    """Signals of voxels in C order as (x, y, z, volume) float32."""
    return signals(tensors, s0, b, g).reshape(*shape, len(b)).astype(np.float32)


def fit(method, signal, b, g, *, grid=None, mask=None, device=CPU, **params):
    shape = signal.shape[:3]
    grid = grid or Grid.from_voxel_size(shape, (2.0, 2.0, 2.0))
    mask = np.ones(shape, bool) if mask is None else mask
    return method(signal, mask, b, g, grid, TensorParams(**params), device=device)


@METHODS
def test_noise_free_signals_give_the_tensor_back(device, rng, method):
    shape = (17, 14, 11)
    count = int(np.prod(shape))
    for b_values in ((1000.0,), (700.0, 2000.0)):
        b, g = gradient_table(rng, 32, b_values)
        tensors, s0 = random_tensors(rng, count, 0.1e-3, 2.5e-3), rng.uniform(50, 5000, count)
        result = fit(method, series(tensors, s0, b, g, shape), b, g, device=device, min_signal=1e-6)
        error = np.abs(to_numpy(result.tensor).reshape(-1, 6) - six(tensors)).max(axis=1)
        assert (error / np.linalg.norm(tensors, axis=(1, 2))).max() <= 1e-6
        np.testing.assert_allclose(to_numpy(result.s0).ravel(), s0, rtol=2e-6)


@METHODS
def test_maps_follow_from_the_tensor(rng, method):
    b, g = gradient_table(rng)
    shape = (9, 8, 7)
    signal = series(random_tensors(rng, 504), np.full(504, 900.0), b, g, shape)
    signal *= np.exp(0.05 * rng.normal(size=signal.shape)).astype(np.float32)
    r = fit(method, signal, b, g)
    tensors = full(r.tensor.astype(np.float64))
    values = np.linalg.eigvalsh(tensors)[..., ::-1]
    deviators = tensors - values.mean(-1)[..., None, None] * np.eye(3)
    norm = np.linalg.norm(deviators, axis=(-2, -1))
    scale = 1e-6 * values.max()
    np.testing.assert_allclose(np.stack([r.l1, r.l2, r.l3], -1), values, atol=scale)
    np.testing.assert_allclose(r.md, values.mean(-1), atol=scale)
    np.testing.assert_allclose(r.ad, values[..., 0], atol=scale)
    np.testing.assert_allclose(r.rd, values[..., 1:].mean(-1), atol=scale)
    np.testing.assert_allclose(r.fa, np.sqrt(1.5) * norm / np.linalg.norm(tensors, axis=(-2, -1)), atol=1e-6)
    mode = 3 * np.sqrt(6) * np.linalg.det(deviators / norm[..., None, None])
    np.testing.assert_allclose(r.mo, mode, atol=2e-5)
    for value, vector in zip((r.l1, r.l2, r.l3), (r.v1, r.v2, r.v3), strict=True):
        np.testing.assert_allclose(
            np.einsum("xyzij,xyzj->xyzi", tensors, vector), value[..., None] * vector, atol=3 * scale
        )


@METHODS
def test_rotating_head_and_gradients_rotates_the_tensor_only(rng, method):
    b, g = gradient_table(rng)
    shape = (6, 6, 6)
    tensors, s0 = random_tensors(rng, 216), rng.uniform(500, 900, 216)
    noise = np.exp(0.03 * rng.normal(size=(*shape, len(b))))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    plain = fit(method, np.float32(series(tensors, s0, b, g, shape) * noise), b, g)
    g_turned = g @ turn.T
    signal = series(turn @ tensors @ turn.T, s0, b, g_turned, shape) * noise
    turned = fit(method, np.float32(signal), b, g_turned)
    for name in ("fa", "md", "rd", "l1", "l2", "l3"):
        found, expected = getattr(turned, name), getattr(plain, name)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-9, err_msg=name)
    expected = turn @ full(plain.tensor) @ turn.T
    np.testing.assert_allclose(full(turned.tensor), expected, atol=1e-5 * np.abs(expected).max())


def test_principal_direction_is_the_same_in_the_world_for_either_storage(rng):
    """A fibre along a world direction, stored in RAS and in LAS, with FSL's table for each."""
    b, world = gradient_table(rng, 24)
    fibre = np.array([0.8, 0.5, -0.33166248])
    tensor = 3e-4 * np.eye(3) + 1.4e-3 * np.outer(fibre, fibre)
    angle = 0.35
    oblique = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    for sign in (1.0, -1.0):
        affine = np.eye(4)
        affine[:3, :3] = oblique @ np.diag([2.0 * sign, 2.0, 2.5])
        grid = Grid((3, 4, 5), affine)
        axes = affine[:3, :3] / np.array([2.0, 2.0, 2.5])
        to_fsl = np.diag([-1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0, 1.0, 1.0])
        signal = series(np.tile(tensor, (60, 1, 1)), np.full(60, 800.0), b, world, grid.shape)
        result = fit(wls, signal, b, world @ axes @ to_fsl, grid=grid)
        found = result.v1 @ to_fsl @ axes.T
        np.testing.assert_allclose(np.abs(found @ fibre), 1.0, atol=1e-5)


def test_negative_eigenvalues_keep_their_sign(rng):
    b, g = gradient_table(rng)
    tensor = np.diag([1.5e-3, 4e-4, -3e-4])
    signal = series(tensor[None], np.array([1000.0]), b, g, (1, 1, 1))
    for method in (ols, wls):
        r = fit(method, signal, b, g)
        np.testing.assert_allclose([r.l1.item(), r.l2.item(), r.l3.item()], [1.5e-3, 4e-4, -3e-4], rtol=1e-5)
    flat = fit(ols, series(np.diag([1e-3, 0.0, -9e-4])[None], np.array([1000.0]), b, g, (1, 1, 1)), b, g)
    assert 1.0 < flat.fa.item() <= np.sqrt(1.5) + 1e-6


@METHODS
def test_memory_order_does_not_change_a_byte(rng, method):
    b, g = gradient_table(rng, 20)
    shape = (13, 10, 7)
    signal = series(random_tensors(rng, 910), rng.uniform(100, 900, 910), b, g, shape)
    mask = rng.random(shape) < 0.6
    plain = fit(method, signal, b, g, mask=mask)
    layouts = {
        "Fortran": np.asfortranarray(signal),
        "volumes first": np.ascontiguousarray(np.moveaxis(signal, 3, 0)).transpose(1, 2, 3, 0),
        "strided": np.repeat(signal, 2, axis=3)[..., ::2],
        "reversed": np.ascontiguousarray(signal[::-1])[::-1],
        "float64": signal.astype(np.float64),
    }
    for name, layout in layouts.items():
        other = fit(method, layout, b, g, mask=np.asfortranarray(mask))
        for field, expected in vars(plain).items():
            np.testing.assert_array_equal(getattr(other, field), expected, err_msg=f"{name}: {field}")


def test_fortran_order_is_read_in_place_and_kept(rng):
    signal = np.asfortranarray(rng.uniform(1, 2, (5, 6, 7, 9)).astype(np.float32))
    planes = as_planes(signal, CPU)
    assert np.shares_memory(planes.array, signal)
    unaligned = np.empty(signal.size + 1, np.float32)[1:]
    unaligned[:] = signal.ravel(order="K")
    assert np.shares_memory(as_planes(unaligned.reshape(signal.shape, order="F"), CPU).array, unaligned)
    assert planes.unflatten(planes.array[0]).flags.f_contiguous
    np.testing.assert_array_equal(planes.unflatten(planes.array), signal)


@METHODS
def test_only_voxels_inside_the_mask_are_fitted(device, rng, method):
    b, g = gradient_table(rng, 20)
    shape = (11, 12, 13)
    signal = series(random_tensors(rng, 1716), rng.uniform(100, 900, 1716), b, g, shape)
    mask = rng.random(shape) < 0.3
    everywhere = fit(method, signal, b, g, device=device)
    signal[~mask] = np.nan
    inside = fit(method, signal, b, g, mask=mask.astype(np.uint8), device=device)
    for name, values in vars(inside).items():
        found, expected = to_numpy(values), to_numpy(getattr(everywhere, name))
        np.testing.assert_array_equal(found[mask], expected[mask], err_msg=name)
        assert (found[~mask] == 0).all(), name


def test_integers_fit_like_the_same_floats(rng):
    b, g = gradient_table(rng, 20)
    stored = rng.integers(1, 3000, (6, 5, 4, len(b))).astype(np.int16)
    ints, floats = fit(ols, stored, b, g), fit(ols, stored.astype(np.float32), b, g)
    np.testing.assert_array_equal(ints.tensor, floats.tensor)


def test_bad_inputs_are_named(rng):
    b, g = gradient_table(rng, 20)
    signal = rng.uniform(1, 2, (4, 4, 4, len(b))).astype(np.float32)
    with pytest.raises(InputError, match="do not fit the grid"):
        fit(ols, signal, b, g, grid=Grid.from_voxel_size((4, 4, 5), (2.0, 2.0, 2.0)))
    with pytest.raises(InputError, match="do not fit the grid"):
        fit(ols, signal, b, g, mask=np.ones((4, 4, 3), bool))
    with pytest.raises(InputError, match="24 volumes, 23 b-values"):
        fit(ols, signal, b[:-1], g[:-1])
    with pytest.raises(InputError, match="mask is empty"):
        fit(ols, signal, b, g, mask=np.zeros((4, 4, 4), bool))
    with pytest.raises(InputError, match="rank"):
        fit(ols, signal[..., :8], b[:8], g[:8])


def load(folder, name):
    image = nib.load(folder / f"{name}.nii.gz")
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize(("method", "dipy_name"), [(ols, "OLS"), (wls, "WLS")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_agrees_with_dipy(method, dipy_name):
    dti = pytest.importorskip("dipy.reconst.dti")
    gradients = pytest.importorskip("dipy.core.gradients")
    stored, affine = load(SMALL, "small_64D")
    b = np.loadtxt(SMALL / "small_64D.bval")
    g = np.nan_to_num(np.loadtxt(SMALL / "small_64D.bvec"))
    g = g if g.shape[1] == 3 else g.T
    usable = (stored > 0).all(axis=-1)
    assert usable.sum() > 500
    table = gradients.gradient_table(b, bvecs=g, b0_threshold=50)
    model = dti.TensorModel(table, fit_method=dipy_name, return_S0_hat=True, min_signal=1e-3)
    theirs = model.fit(stored[usable])
    ours = fit(method, stored.astype(np.float32), b, g, grid=Grid(stored.shape[:3], affine), min_signal=1e-6)
    positive = theirs.evals.min(axis=-1) > 1e-6
    assert positive.mean() > 0.9
    tensors = full(ours.tensor.astype(np.float64))[usable][positive]
    size = np.linalg.norm(tensors, axis=(1, 2))
    difference = np.abs(tensors - theirs.quadratic_form[positive]).max(axis=(1, 2))
    assert (difference / size).max() < 2e-5
    np.testing.assert_allclose(ours.fa[usable][positive], theirs.fa[positive], atol=2e-5)
    np.testing.assert_allclose(ours.md[usable][positive], theirs.md[positive], rtol=2e-5)
    np.testing.assert_allclose(ours.mo[usable][positive], theirs.mode[positive], atol=2e-3)
    np.testing.assert_allclose(ours.s0[usable], theirs.S0_hat, rtol=1e-5)


def test_agrees_with_the_scanner():
    folder = demo_path("siemens-dwi-brain-with-vendor-maps")
    stored, affine = load(folder, "dwi")
    b, g = np.loadtxt(folder / "dwi.bval"), np.loadtxt(folder / "dwi.bvec").T
    mask = stored[..., 0] > 300
    r = fit(ols, stored, b, g, mask=mask, grid=Grid(stored.shape[:3], affine))
    fa, adc = load(folder, "vendor_FA_x1000")[0] / 1000, load(folder, "vendor_ADC")[0] * 1e-6
    assert np.corrcoef(r.fa[mask], fa[mask])[0, 1] >= 0.9995
    assert np.corrcoef(r.md[mask], adc[mask])[0, 1] >= 0.9999
    assert np.median(np.abs(r.fa - fa)[mask]) < 0.002
