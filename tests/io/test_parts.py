"""Reading of a part of a series: the values of the whole images there, and what sends the reader to them."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io._parts import read_part
from qsmengine.io._volumes import open_volumes, read_volumes

SHAPE = (11, 9, 40)
PART = (slice(2, 9), slice(0, 8), slice(13, 35))


def compared(paths, order):
    """Files in their part and, read whole, cut to it."""
    files = open_volumes(paths, None, [])
    whole, unknown = read_volumes(files, files[0].grid, order, [])
    assert unknown is None
    return read_part(files, order, PART), whole[PART]


@pytest.mark.parametrize(
    "kind", [{}, {"slope": 0.37, "inter": 2.5}, {"slope": -2.0, "inter": 2000.0}, {"endian": ">"}]
)
@pytest.mark.parametrize("dtype", ["i2", "u1", "f4", "f8"])
def test_a_part_holds_the_values_of_the_whole_image(save, rng, dtype, kind):
    images = rng.integers(0, 200, (3, *SHAPE)).astype(dtype)
    paths = [save(f"{k}.nii.gz", image, **kind) for k, image in enumerate(images)]
    part, cut = compared(paths, (2, 0, 1))
    assert part.dtype == np.float32
    assert part.transpose(3, 0, 1, 2).flags.c_contiguous
    np.testing.assert_array_equal(part, cut)


def test_volumes_of_several_files_are_put_in_order(save, rng):
    first, second = (rng.integers(1, 99, (*SHAPE, n)).astype("i2") for n in (3, 2))
    part, cut = compared([save("a.nii", first), save("b.nii.gz", second)], (4, 0, 3, 1, 2))
    np.testing.assert_array_equal(part, cut)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_anywhere_that_need_a_decision_are_left_to_the_whole_reader(save, value):
    image = np.ones(SHAPE, "f4")
    image[0, 0, -1] = value  # outside the part
    assert read_part(open_volumes([save("a.nii.gz", image)], None, []), (0,), PART) is None


def test_a_volume_without_signal_is_left_to_the_whole_reader(save):
    images = np.ones((*SHAPE, 2), "i2")
    images[..., 1] = 0
    assert read_part(open_volumes([save("a.nii", images)], None, []), (0, 1), PART) is None


def test_complex_and_damaged_images_are_refused(save):
    with pytest.raises(InputError, match="complex"):
        read_part(open_volumes([save("a.nii", np.ones(SHAPE, "c8"))], None, []), (0,), PART)
    path = save("b.nii.gz", np.ones(SHAPE, "i2"))
    files = open_volumes([path], None, [])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="truncated"):
        read_part(files, (0,), PART)
