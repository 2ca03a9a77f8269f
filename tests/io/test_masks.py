import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import load_mask
from qsmengine.io.masks import check_placement

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
    assert any("values 0.4 .. 255 binarised above 127.5" in note for note in notes)
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
        InputError, match=r"s\.nii: dim: has shape \(12, 12, 11\), not \(12, 12, 12\) as the image"
    ):
        load_mask(save("s.nii", ball[..., 1:].astype(np.uint8), affine=GRID.affine), GRID)
    with pytest.raises(InputError, match=r"a\.nii: affine"):
        load_mask(save("a.nii", ball.astype(np.uint8), affine=np.diag([1, 1, 1.01, 1])), GRID)
    with pytest.raises(InputError, match="three dimensions"):
        load_mask(save("d.nii", np.stack([ball, ball], 3).astype(np.uint8), affine=GRID.affine), GRID)


@pytest.fixture
def probability(rng):
    """A probability, 0 .. 1, most of it 1, with a rim of three voxels."""
    grid = Grid((40, 40, 40), np.eye(4))
    distance = np.linalg.norm(np.indices(grid.shape) - 19.5, axis=0)
    share = np.clip((17 - distance) / 3 + 0.01 * rng.uniform(-1, 1, grid.shape), 0, 1)
    return share, grid


@pytest.mark.parametrize("full", [1, 100, 255, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_probability_on_any_scale_is_cut_at_half_of_it(save, probability, full, dtype):
    share, grid = probability
    values = (full * share).astype(dtype)
    mask, notes = load_mask(save("p.nii.gz", values, affine=grid.affine), grid)
    if full == 1 and dtype is np.int16:
        assert mask.sum() == (share == 1).sum()
        return
    np.testing.assert_array_equal(mask, values > full / 2)
    assert any(f"binarised above {full / 2:g}" in note for note in notes)


def test_labels_are_inside_whatever_their_number(save, rng):
    grid = Grid((40, 40, 40), np.eye(4))
    for numbers in ([10, 49, 50], [2, 3, 41, 42], [1001, 1035, 2001, 2035], [2, 4, 10, 251, 255]):
        labels = rng.choice([0, *numbers], grid.shape).astype(np.int16)
        mask, _ = load_mask(save("l.nii", labels, affine=grid.affine), grid)
        np.testing.assert_array_equal(mask, labels > 0)


def test_values_that_define_no_mask_are_refused(save, ball, rng):
    stripped = np.where(ball, rng.normal(300, 60, GRID.shape), 0).astype(np.float32)
    with pytest.raises(InputError, match=r"s\.nii: values up to .*store 1 inside and 0 outside"):
        load_mask(save("s.nii", stripped, affine=GRID.affine), GRID)
    with pytest.raises(InputError, match=r"n\.nii: values 1 \.\. 2: none is outside"):
        load_mask(save("n.nii", np.where(ball, 2, 1).astype(np.uint8), affine=GRID.affine), GRID)
    parcels = rng.permutation(np.arange(12**3) % 101).reshape(GRID.shape).astype(np.uint8)
    with pytest.raises(InputError, match="values up to 100"):
        load_mask(save("w.nii", parcels, affine=GRID.affine), GRID)


@pytest.fixture
def lopsided(probability, rng):
    """A mask, and the magnitude of an object with that outline and noise around it."""
    mask = probability[0] > 0.5
    mask[:, 24:] = False
    return mask, np.where(mask, 100, 0) + np.abs(rng.normal(0, 5, mask.shape))


def test_a_mask_of_the_outside_is_refused(lopsided, tmp_path):
    mask, image = lopsided
    assert check_placement(mask, image, tmp_path / "m.nii") == []
    assert check_placement(np.ones_like(mask), image, tmp_path / "m.nii") == []
    with pytest.raises(InputError, match=r"m\.nii: inside and outside seem to be exchanged"):
        check_placement(~mask, image, tmp_path / "m.nii")


def test_a_mirrored_mask_gets_a_note(lopsided, tmp_path):
    mask, image = lopsided
    (note,) = check_placement(np.flip(mask, 1), image, tmp_path / "m.nii")
    assert "fits the magnitude better if mirrored along y" in note
