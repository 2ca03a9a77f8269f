"""Large plain images are mapped into memory on request."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from qsmengine.io import _stream, read_image, read_stored


@pytest.mark.parametrize("endian", "<>")
def test_a_mapped_image_has_the_same_voxels_and_its_file_never_changes(save, monkeypatch, rng, endian):
    monkeypatch.setattr(_stream, "MAP_FROM", 1000)
    array = rng.normal(size=(7, 8, 9)).astype(np.float32)
    path = save("plain.nii", array, endian=endian)
    before = path.read_bytes()
    stored = read_stored(path, mapped=True).array
    np.testing.assert_array_equal(stored, array)
    stored[...] = 0
    assert path.read_bytes() == before
    np.testing.assert_array_equal(read_image(path, mapped=True).array, array)


def test_small_packed_and_misaligned_images_are_read_and_so_are_those_that_cannot_be_mapped(
    save, monkeypatch, rng, tmp_path
):
    array = rng.normal(size=(7, 8, 9)).astype(np.float32)
    content = bytearray(save("plain.nii", array).read_bytes())
    content[108:112], content[352:352] = np.float32(356).tobytes(), bytes(4)
    (tmp_path / "shifted.nii").write_bytes(content)
    save("packed.nii.gz", array)
    save("small.nii", array[..., 1:])
    attempts = []

    def cannot_map(*_given, **_more):
        attempts.append(name)
        raise OSError("no such device")

    monkeypatch.setattr(_stream, "MAP_FROM", array.nbytes)
    monkeypatch.setattr(mmap, "mmap", cannot_map)
    for name in ("small.nii", "packed.nii.gz", "shifted.nii", "plain.nii"):
        expected = array[..., 1:] if name == "small.nii" else array
        np.testing.assert_array_equal(read_image(tmp_path / name, mapped=True).array, expected)
    assert attempts == ["plain.nii"]
