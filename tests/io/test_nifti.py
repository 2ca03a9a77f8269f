import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.eulerangles import euler2mat

from qsmengine.errors import InputError
from qsmengine.io import read_image, read_stored
from qsmengine.io.nifti import scale_stored
from qsmengine.io.voxel_bytes import BLOCK

OBLIQUE = nib.affines.from_matvec(euler2mat(0.3, -0.2, 0.1) @ np.diag([-0.8, 0.9, 2.5]), [3.0, -20.0, 11.0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 7), min_size=3, max_size=4).filter(lambda s: len(s) == 3 or s[3] > 1),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]),
    endian=st.sampled_from("<>"),
    version=st.sampled_from([1, 2]),
    name=st.sampled_from(["a.nii", "a.nii.gz"]),
    scale=st.sampled_from([(None, None), (0.0, 3.0), (float("nan"), 0.0), (2.0, -4096.0), (0.37, 0.0)]),
    seed=st.integers(0, 2**31),
)
def test_every_layout_reads_as_nibabel_reads_it(save, shape, dtype, endian, version, name, scale, seed):
    random = np.random.default_rng(seed)
    array = random.integers(0, 120, shape).astype(dtype)
    path = save(name, array, slope=scale[0], inter=scale[1], version=version, endian=endian)
    got, grid, header = read_image(path)
    expected = nib.load(path)
    assert got.dtype == np.float32
    assert got.flags.f_contiguous
    np.testing.assert_allclose(got, np.asarray(expected.dataobj).reshape(got.shape), rtol=3e-7, atol=1e-4)
    np.testing.assert_array_equal(grid.affine, expected.affine)
    assert header.dtype == np.dtype(dtype).newbyteorder(endian)


def test_a_header_and_image_pair_is_read_from_either_name(tmp_path, rng):
    array = rng.standard_normal((4, 5, 6)).astype(np.float32)
    nib.save(nib.Nifti1Pair(array, OBLIQUE), tmp_path / "pair.hdr")
    for name in ("pair.hdr", "pair.img"):
        got, grid, header = read_image(tmp_path / name)
        np.testing.assert_array_equal(got, array)
        np.testing.assert_allclose(grid.affine, OBLIQUE, rtol=1e-6)
        assert header.data_path == tmp_path / "pair.img"


def test_a_wrong_extension_is_seen_through(save, tmp_path, rng):
    array = rng.integers(0, 9, (3, 4, 5)).astype(np.int16)
    plain = save("plain.nii", array).rename(tmp_path / "really_plain.nii.gz")
    packed = save("packed.nii.gz", array).rename(tmp_path / "really_packed.nii")
    np.testing.assert_array_equal(read_image(plain).array, array)
    np.testing.assert_array_equal(read_image(packed).array, array)


def test_trailing_single_dimensions_are_dropped_and_flat_images_get_a_third(save):
    assert read_image(save("a.nii", np.ones((3, 4, 5, 1), np.float32))).array.shape == (3, 4, 5)
    assert read_image(save("b.nii", np.ones((3, 4), np.float32))).array.shape == (3, 4, 1)
    assert read_image(save("c.nii", np.ones((3, 4, 5, 1, 3), np.float32))).array.shape == (3, 4, 5, 3)


def test_gzip_members_after_the_first_belong_to_the_image(save, tmp_path, rng):
    array = rng.standard_normal((6, 6, 6)).astype(np.float32)
    content = save("a.nii", array).read_bytes()
    path = tmp_path / "two.nii.gz"
    path.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    np.testing.assert_array_equal(read_image(path).array, array)


def test_complex_voxels_need_a_complex_type(save, rng):
    array = (rng.standard_normal((3, 4, 5)) + 1j * rng.standard_normal((3, 4, 5))).astype(np.complex128)
    path = save("c.nii.gz", array, slope=2.0, inter=0.0)
    got = read_image(path, dtype=np.complex64).array
    assert got.dtype == np.complex64
    np.testing.assert_allclose(got, 2 * array, rtol=1e-6)
    with pytest.raises(InputError, match=r"c\.nii\.gz: datatype: contains complex numbers"):
        read_image(path)


def test_labels_are_read_as_integers_and_only_where_they_are(save):
    labels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    got = read_image(save("l.nii", labels), dtype=np.int32).array
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, labels)
    with pytest.raises(InputError, match="off whole numbers"):
        read_image(save("h.nii", labels + 0.5), dtype=np.int32)
    with pytest.raises(InputError, match="do not fit uint8"):
        read_image(save("n.nii", labels - 1), dtype=np.uint8)


def test_nan_in_a_label_image_is_background_with_a_note(save):
    labels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image = read_image(save("l.nii", np.where(labels < 7, np.nan, labels)), dtype=np.int32)
    np.testing.assert_array_equal(image.array, np.where(labels < 7, 0, labels))
    assert "7 NaN values taken as background" in image.header.notes[-1]
    for wrong in (np.full_like(labels, np.nan), np.where(labels < 7, np.inf, labels)):
        with pytest.raises(InputError, match="not finite or do not fit int32"):
            read_image(save("w.nii", wrong), dtype=np.int32)


@pytest.mark.parametrize("keep", [0.2, 0.7, 0.999])
def test_a_truncated_gzip_names_file_and_bytes(save, rng, keep):
    path = save("cut.nii.gz", rng.standard_normal((32, 32, 32)).astype(np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"cut\.nii\.gz: truncated.*\d+ decompressed bytes"):
        read_image(path)


def test_a_gzip_with_a_wrong_checksum_is_refused(save, rng):
    path = save("crc.nii.gz", rng.standard_normal((16, 16, 16)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"crc\.nii\.gz: damaged: CRC.*after \d+ bytes"):
        read_image(path)


def test_a_short_file_says_how_much_is_missing(save, test_data):
    path = save("short.nii", np.ones((5, 5, 5), np.float32))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(
        InputError, match=r"short\.nii: truncated: the header needs 852 bytes, the file has 849"
    ):
        read_image(path)
    with pytest.raises(InputError, match="the file has 352"):
        read_image(test_data / "canon-dwi-brain-oblique" / "axial_tilted_header.nii")


def test_a_gzip_holding_less_than_its_header_claims_is_refused_before_allocation(save, monkeypatch):
    path = save("lie.nii.gz", np.zeros((8, 8, 8), np.float32))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.array([400, 400, 400], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))

    def refuse(*_args, **_kwargs):
        raise AssertionError("allocated")

    monkeypatch.setattr("qsmengine.io.nifti.np.empty", refuse)
    with pytest.raises(InputError, match=r"lie\.nii\.gz.*256000352 bytes, the gzip stream holds 2400"):
        read_image(path)


def test_an_enormous_claim_is_refused_by_its_ratio(save):
    path = save("bomb.nii.gz", np.zeros((8, 8, 8), np.float32))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.array([4096, 4096, 4096], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match=r"bomb\.nii\.gz: dim: .*1000 times"):
        read_image(path)


def test_bytes_after_the_voxels_are_noted(save):
    for name in ("a.nii", "a.nii.gz"):
        path = save(name, np.ones((3, 3, 3), np.uint8))
        content = path.read_bytes()
        more = gzip.compress(b"tail") if name.endswith("gz") else b"tail"
        path.write_bytes(content + more)
        image = read_image(path)
        assert image.array.all()
        assert image.header.notes == ["4 bytes after the voxels ignored"]


def test_a_missing_file_a_folder_and_an_unfetched_annex_file_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii: no such file$"):
        read_image(tmp_path / "none.nii")
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / ".git" / "annex" / "objects" / "x")
    with pytest.raises(InputError, match="datalad get"):
        read_image(tmp_path / "link.nii.gz")
    (tmp_path / "pointer.nii.gz").write_text("/annex/objects/MD5E-s123--abc.nii.gz\n")
    with pytest.raises(InputError, match="datalad get"):
        read_image(tmp_path / "pointer.nii.gz")
    with pytest.raises(InputError, match="cannot be opened"):
        read_image(tmp_path)


def test_scaling_of_long_integers_keeps_float64_accuracy(rng):
    stored = rng.integers(2**30, 2**31 - 1, (20, 10, 5)).astype(np.int32)
    got = scale_stored(stored, 1.0, -float(2**30))
    np.testing.assert_allclose(got, stored - 2.0**30, rtol=1e-7)


def test_scaling_in_blocks_equals_scaling_at_once(rng):
    stored = np.asfortranarray(rng.integers(0, 4096, (128, 128, 70)).astype(np.int16))
    assert stored.size > BLOCK
    np.testing.assert_allclose(scale_stored(stored, 0.25, 3.0), stored * 0.25 + 3.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32, np.float64])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.25, 3.0)])
def test_scaled_values_go_where_they_are_wanted(dtype, scale):
    stored = np.asfortranarray(np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype))
    series = np.full((2, 4, 3, 2), -1, np.float32).transpose(3, 2, 1, 0)
    scale_stored(stored, *scale, out=series[..., 1])
    assert np.array_equal(series[..., 1], scale_stored(stored, *scale))
    assert (series[..., 0] == -1).all()


def test_stored_values_ignore_slope_and_intercept(save):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = read_stored(save("s.nii", array, slope=2.0, inter=-7.0, endian=">"))
    np.testing.assert_array_equal(image.array, array)
    assert image.array.dtype.isnative
    assert (image.header.slope, image.header.intercept, image.header.is_scaled) == (2.0, -7.0, True)


@pytest.mark.parametrize("apart", [2e-4, 0.04])
def test_labels_a_little_off_whole_numbers_are_rounded_with_a_note(save, rng, apart):
    labels = rng.integers(0, 2000, (6, 5, 4))
    image = read_image(save("l.nii", (labels + apart).astype(np.float64)), dtype=np.int32)
    np.testing.assert_array_equal(image.array, labels)
    assert "rounded" in image.header.notes[-1]


def test_interpolated_labels_are_refused_with_a_way_out(save):
    labels = np.full((4, 4, 4), 3.0)
    labels[2, 2, 2] = 2.75
    with pytest.raises(InputError, match=r"up to 0\.25 off whole numbers.*nearest neighbours"):
        read_image(save("l.nii", labels), dtype=np.int32)
