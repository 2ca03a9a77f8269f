import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import load_mask

GRID = Grid((12, 12, 12), np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.fixture
def ball():
    x = np.indices(GRID.shape) - 5.5
    return (x**2).sum(axis=0) < 30


def test_a_mask_loads_and_is_binarised_above_a_half(save, ball):
    mask, notes = load_mask(save("m.nii.gz", ball.astype(np.uint8), affine=GRID.affine), GRID)
    np.testing.assert_array_equal(mask, ball)
    assert mask.dtype == bool
    assert mask.flags.c_contiguous
    assert notes == [f"{mask_path(notes)}: the mask has only {ball.sum()} voxels"]
    soft = np.where(ball, 255, 0.4).astype(np.float32)
    mask, notes = load_mask(save("s.nii", soft, affine=GRID.affine), GRID)
    np.testing.assert_array_equal(mask, ball)
    assert any("values 0.4 .. 255 binarised above 0.5" in note for note in notes)
    _, notes = load_mask(save("f.nii", np.ones(GRID.shape, np.uint8), affine=GRID.affine), GRID)
    assert any("covers the whole image" in note for note in notes)


def test_nan_in_a_mask_is_outside_it_with_a_note(save, ball):
    path = save("m.nii", np.where(ball, 1, np.nan).astype(np.float32), affine=GRID.affine)
    mask, notes = load_mask(path, GRID)
    np.testing.assert_array_equal(mask, ball)
    assert any(f"{(~ball).sum()} NaN values taken as outside the mask" in note for note in notes)


def mask_path(notes):
    return notes[0].split(": ")[0]


def test_an_empty_or_misplaced_mask_is_refused(save, ball):
    with pytest.raises(InputError, match=r"e\.nii: empty mask: .*largest 0\.4"):
        load_mask(save("e.nii", np.where(ball, 0.4, 0).astype(np.float32), affine=GRID.affine), GRID)
    with pytest.raises(
        InputError, match=r"s\.nii: dim: has shape \(12, 12, 11\), the image has \(12, 12, 12\)"
    ):
        load_mask(save("s.nii", ball[..., 1:].astype(np.uint8), affine=GRID.affine), GRID)
    with pytest.raises(InputError, match=r"a\.nii: affine"):
        load_mask(save("a.nii", ball.astype(np.uint8), affine=np.diag([1, 1, 1.01, 1])), GRID)
    with pytest.raises(InputError, match="three dimensions"):
        load_mask(save("d.nii", np.stack([ball, ball], 3).astype(np.uint8), affine=GRID.affine), GRID)
