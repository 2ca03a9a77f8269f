from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.report.panels import Panel, load_picture, to_ras


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_turning_to_ras_agrees_with_nibabel_and_moves_no_voxel(order, signs):
    rng = np.random.default_rng(4)
    array = rng.random((4, 5, 6, 2))
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs)[:, order] * [0.8, 1.0, 2.0] + rng.normal(0, 0.05, (3, 3))
    affine[:3, 3] = rng.normal(0, 10, 3)
    turned, matrix = to_ras(array, affine)
    reference = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    np.testing.assert_array_equal(turned, reference.get_fdata())
    np.testing.assert_allclose(matrix, reference.affine, atol=1e-12)


def rotation(angle, axis):
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (0, 2), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[[i, j], [i, j]] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3))[::3])
@pytest.mark.parametrize("world", [(1, 0, 0), (0, 1, 0), (0.6, 0.0, 0.8)])
def test_direction_colours_are_scanner_axes_on_oblique_grids(save, signs, world):
    affine = np.eye(4)
    axes = rotation(0.4, 0) @ rotation(-0.3, 1) @ rotation(0.2, 2) @ np.diag(signs).astype(float)
    affine[:3, :3] = axes * [1.0, 2.0, 3.0]
    along_array = axes.T @ np.array(world)
    fsl = along_array * ([-1, 1, 1] if np.linalg.det(axes) > 0 else [1, 1, 1])
    fa = save("fa.nii.gz", np.full((4, 5, 6), 0.5, np.float32), affine)
    v1 = save("v1.nii.gz", np.tile(-fsl, (4, 5, 6, 1)).astype(np.float32), affine)
    colours = load_picture(Panel(fa, "FA", "colour_fa", vectors=v1)).values
    np.testing.assert_allclose(colours, np.broadcast_to(0.5 * np.abs(world), colours.shape), atol=1e-6)
    in_world = save("w1.nii.gz", np.tile(world, (4, 5, 6, 1)).astype(np.float32), affine)
    again = load_picture(Panel(fa, "FA", "colour_fa", vectors=in_world, vector_frame="world")).values
    np.testing.assert_allclose(again, colours, atol=1e-6)


def test_scale_unit_and_difference(save):
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 5, 5, 5)).astype(np.float32)
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[1:4] = 1
    md = load_picture(Panel(save("md.nii", a * 3e-3), "MD", "diffusivity"))
    np.testing.assert_allclose(md.values, a * 3, rtol=1e-5)
    assert (md.window, md.unit) == ((0.0, 3.0), "10\u207b\u00b3 mm\u00b2/s")
    paths = {"path": save("a.nii", a), "subtract": save("b.nii", b), "mask": save("m.nii", mask)}
    error = load_picture(Panel(label="d", kind="difference", scale=10.0, unit="ppb", **paths))
    np.testing.assert_allclose(error.values[1:4], 10 * (a - b)[1:4], rtol=1e-4, atol=1e-5)
    assert np.isnan(error.values[[0, 4]]).all()
    assert error.window[0] == -error.window[1]
    assert error.unit == "ppb"


def test_a_volume_of_a_series_is_chosen(save):
    series = np.arange(5 * 5 * 5 * 3, dtype=np.float32).reshape(5, 5, 5, 3)
    path = save("s.nii", series)
    np.testing.assert_array_equal(load_picture(Panel(path, "s", "magnitude", volume=2)).values, series[..., 2])
    with pytest.raises(InputError, match=r"s.nii: dim: no volume 3 in shape \(5, 5, 5, 3\)"):
        load_picture(Panel(path, "s", "magnitude", volume=3))


def test_a_constant_or_empty_image_still_has_a_window(save):
    for value in (0.0, 7.0, -7.0):
        for kind in ("magnitude", "difference"):
            low, high = load_picture(Panel(save("c.nii", np.full((3, 3, 3), value)), "c", kind)).window
            assert low < high


def test_files_that_do_not_fit_are_refused_by_name(save):
    image = save("i.nii", np.ones((4, 4, 4), np.float32))
    moved = np.eye(4)
    moved[0, 3] = 1.0
    elsewhere = save("moved.nii", np.ones((4, 4, 4), np.float32), moved)
    for field in ("mask", "subtract"):
        with pytest.raises(InputError, match=r"moved\.nii"):
            load_picture(Panel(image, "x", "magnitude", **{field: elsewhere}))
    with pytest.raises(InputError, match=r"i\.nii: shape \(4, 4, 4\), need \(4, 4, 4, 3\)"):
        load_picture(Panel(image, "x", "colour_fa", vectors=image))
    with pytest.raises(InputError, match="no finite value"):
        load_picture(Panel(save("n.nii", np.full((3, 3, 3), np.nan)), "x", "chi"))


def test_a_wrong_panel_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown kind of panel 'qsm'"):
        Panel(tmp_path, "x", "qsm")
    with pytest.raises(UsageError, match="only kind 'colour_fa' takes vectors"):
        Panel(tmp_path, "x", "colour_fa")
