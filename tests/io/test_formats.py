"""FreeSurfer's images, and formats that are refused by name."""

import nibabel as nib
import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io import read_image

AFFINE = np.array([[-1.1, 0.1, 0, 20], [0, 0.2, 1.3, -30], [0.1, -1.2, 0.2, 40], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("ending", [".mgz", ".mgh"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 3)])
def test_mgh_images_come_back_as_nibabel_wrote_them(tmp_path, rng, dtype, ending, shape):
    array = rng.integers(0, 200, shape).astype(dtype)
    path = tmp_path / f"aseg{ending}"
    nib.save(nib.MGHImage(array, AFFINE), path)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, array)
    np.testing.assert_allclose(image.grid.affine, AFFINE, atol=1e-4)
    assert image.header.notes == []
    labels = read_image(path, dtype=np.int32)
    np.testing.assert_array_equal(labels.array, array)


def test_an_mgh_image_without_orientation_or_cut_short_is_refused(tmp_path):
    path = tmp_path / "a.mgh"
    nib.save(nib.MGHImage(np.ones((4, 4, 4), np.float32), AFFINE), path)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:400])
    with pytest.raises(InputError, match=r"a\.mgh: truncated"):
        read_image(path)
    path.write_bytes(content[:100])
    with pytest.raises(InputError, match="an MGH header has 284"):
        read_image(path)
    content[28:30] = b"\0\0"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no orientation"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'<?xml version="1.0"?><!DOCTYPE GIFTI SYSTEM "x"><GIFTI>', "GIFTI surface"),
        (b"mrtrix image\ndim: 3,4,5", "mrconvert"),
        (b"NRRD0004\n", "NRRD"),
        (b"\x89HDF\r\n", "MINC"),
        (bytes(128) + b"DICM" + bytes(20), "qsmengine import"),
        (b"something else", "not a NIfTI file"),
    ],
)
def test_other_formats_are_refused_by_name(tmp_path, content, words):
    path = tmp_path / "image.dat"
    path.write_bytes(content + bytes(600))
    with pytest.raises(InputError, match=rf"image\.dat: .*{words}"):
        read_image(path)
