import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import ndimage

from qsmengine.errors import InputError
from qsmengine.report.figures import ROW_HEIGHT, overview
from qsmengine.report.panels import Panel

DPI = 150


@pytest.fixture
def head(save):
    """A grey box 60 x 80 x 50 mm with a bright block at its right, anterior, superior corner."""

    def make(affine, name="head.nii.gz"):
        index = np.argwhere(np.ones((64, 64, 64), bool))
        world = (index @ affine[:3, :3].T + affine[:3, 3]).reshape(64, 64, 64, 3)
        inside = (np.abs(world) <= [30, 40, 25]).all(axis=-1)
        block = (world > [10, 20, 5]).all(axis=-1) & inside
        return save(name, (0.4 * inside + 0.6 * block).astype(np.float32), affine)

    return make


def centred(columns):
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = -affine[:3, :3] @ [31.5, 31.5, 31.5]
    return affine


def bright(image):
    """Bounding boxes (left, right, top, bottom) of the connected white blocks, from the left."""
    white = (image > 0.97).all(axis=-1)
    found = ndimage.find_objects(ndimage.label(white)[0])
    boxes = [(s[1].start, s[1].stop, s[0].start, s[0].stop) for s in found]
    return sorted(b for b in boxes if (b[1] - b[0]) * (b[3] - b[2]) > 900 and b[1] - b[0] > 20)


AXES = {
    "RAS": np.eye(3) * 1.5,
    "LIA": np.array([[-1.5, 0, 0], [0, 0, 1.5], [0, -1.5, 0]]),
    "PSR": np.array([[0, 0, 1.5], [-1.5, 0, 0], [0, 1.5, 0]]),
}


@pytest.mark.parametrize("axes", AXES)
def test_right_anterior_and_superior_lie_left_and_up_whatever_the_storage(head, pixels, tmp_path, axes):
    path = tmp_path / "o.png"
    panel = Panel(head(centred(AXES[axes])), "x", "chi", window=(0.0, 0.95))
    overview([panel], path, "t", centre=(18.0, 28.0, 14.0))
    image = pixels(path)
    blocks = bright(image)[:3]
    assert len(blocks) == 3
    grey = np.abs(image - 0.4 / 0.95).max(axis=-1) < 0.02
    for left, right, top, bottom in blocks:
        rows, columns = np.flatnonzero(grey[:, left]), np.flatnonzero(grey[top])
        assert rows[rows > top - 15].min() > bottom - 2, "the block is at the top"
        beside = columns[(columns > left) & (columns < left + 400)]
        assert beside.min() >= right - 2, "the block is at the left"


def test_pixels_are_millimetres_with_anisotropic_voxels(head, pixels, tmp_path):
    path = tmp_path / "o.png"
    overview([Panel(head(centred(np.diag([1.0, 1.5, 1.2]))), "x", "chi", window=(0.0, 0.3))], path, "t")
    sizes = [(right - left, bottom - top) for left, right, top, bottom in bright(pixels(path))[:3]]
    mm_per_pixel = 80 / sizes[0][1]
    for size, expected in zip(sizes, ((60, 80), (60, 50), (80, 50)), strict=True):
        np.testing.assert_allclose(np.array(size) * mm_per_pixel, expected, rtol=0.04)


def test_rows_on_different_grids_show_the_same_place(head, pixels, tmp_path):
    path = tmp_path / "o.png"
    coarse = head(centred(np.diag([3.0, 3.0, 3.0])), "coarse.nii.gz")
    fine = head(centred(np.diag([1.5, 1.5, 1.5])), "fine.nii.gz")
    panels = [Panel(p, "x", "chi", window=(0.0, 0.95)) for p in (coarse, fine)]
    overview(panels, path, "t", centre=(18.0, 28.0, 14.0))
    blocks = bright(pixels(path))
    lefts = sorted(b[0] for b in blocks)[:6]
    row = round((ROW_HEIGHT + 0.06) * DPI)
    for a, b in zip(lefts[::2], lefts[1::2], strict=True):
        assert abs(a - b) < 12
    tops = sorted(b[2] for b in blocks[:6])
    assert abs((np.mean(tops[3:]) - np.mean(tops[:3])) - row) < 12


def test_a_mask_is_outlined_and_crops_the_picture(head, save, pixels, tmp_path):
    affine = centred(np.eye(3) * 1.5)
    image = head(affine)
    mask = np.zeros((64, 64, 64), np.uint8)
    mask[22:42, 20:44, 24:40] = 1
    outlined = Panel(image, "x", "chi", window=(0.0, 2.0), mask=save("m.nii.gz", mask, affine))
    for name, panel in (("with.png", outlined), ("without.png", Panel(image, "x", "chi", window=(0.0, 2.0)))):
        overview([panel], tmp_path / name, "t")
    yellow = [(pixels(tmp_path / n) @ [1, 1, -2] > 0.5).sum() for n in ("with.png", "without.png")]
    assert yellow[0] > 500
    assert yellow[1] == 0


def test_the_same_files_give_the_same_bytes_without_date_or_software(head, tmp_path):
    panel = Panel(head(centred(np.eye(3))), "x", "magnitude")
    for name in ("a.png", "b.png"):
        overview([panel], tmp_path / name, "t")
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert b"tEXt" not in content
    assert b"tIME" not in content


def test_drawing_leaves_pyplot_and_settings_alone(head, tmp_path):
    before, figures = dict(mpl.rcParams), plt.get_fignums()
    overview([Panel(head(centred(np.eye(3))), "x", "chi")], tmp_path / "o.png", "t")
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures == []


def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(head, tmp_path):
    panel = Panel(head(centred(np.eye(3))), "x", "chi")
    with pytest.raises(InputError, match="nothing to show"):
        overview([], tmp_path / "o.png", "t")
    with pytest.raises(InputError, match=r"head.nii.gz: the point \[0.0, 0.0, 500.0\] mm lies outside"):
        overview([panel], tmp_path / "o.png", "t", centre=(0.0, 0.0, 500.0))
    with pytest.raises(InputError, match=r"must end in \.png"):
        overview([panel], tmp_path / "o.jpg", "t")
    assert [p.name for p in tmp_path.iterdir()] == ["head.nii.gz"]
