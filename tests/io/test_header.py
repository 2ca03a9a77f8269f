import contextlib
import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsmengine.errors import InputError
from qsmengine.io import read_header, read_image

ONES = np.ones((4, 5, 6), np.int16)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [3, 5000, 4, 4, 1, 1, 1, 1]}, "dim: .* between 1 and 4096"),
        ({"dim": [3, 4, 0, 4, 1, 1, 1, 1]}, "dim: .*0.* between 1 and 4096"),
        ({"dim": [3, 4, -2, 4, 1, 1, 1, 1]}, "dim: .*-2"),
        ({"dim": [9, 4, 4, 4, 1, 1, 1, 1]}, r"dim\[0\]: 9 dimensions"),
        ({"datatype": 128}, "datatype: RGB voxels"),
        ({"datatype": 2304}, "datatype: RGBA voxels"),
        ({"datatype": 77}, "datatype: unknown voxels"),
        ({"scl_slope": np.inf}, "scl_slope: infinite"),
        ({"scl_slope": 1.0, "scl_inter": np.nan}, "scl_inter: nan"),
        ({"vox_offset": 100}, "vox_offset: 100.0 is not a position"),
        ({"vox_offset": np.nan}, "vox_offset"),
        ({"vox_offset": 1e9}, "truncated: the header needs 1000000240 bytes, the file has 592"),
        ({"sform_code": 0, "qform_code": 0}, "sform_code/qform_code: .*both 0"),
        ({"sform_code": 0, "pixdim": [1, 0, 1, 1, 1, 0, 0, 0]}, "pixdim"),
        ({"sform_code": 0, "pixdim": [1, np.nan, 1, 1, 1, 0, 0, 0]}, "pixdim"),
        ({"sform_code": 0, "pixdim": [1, -2, 1, 1, 1, 0, 0, 0]}, "pixdim"),
        ({"sform_code": 0, "pixdim": [1, 900, 900, 900, 1, 0, 0, 0]}, "pixdim: voxel edges .*another unit"),
        ({"sform_code": 0, "quatern_b": 3.0}, "pixdim/quatern: unusable"),
        ({"srow_x": [0, 0, 0, 0]}, "pixdim: voxel edges"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "affine: not a finite"),
        ({"magic": b"xyz\0"}, "magic: .*without a NIfTI-1 magic"),
        ({"magic": b"ni1\0"}, r"magic: .*not named \.hdr"),
        ({"sizeof_hdr": 999}, "sizeof_hdr: not a NIfTI file"),
    ],
)
def test_a_lying_header_is_refused_with_file_and_field(save, fields, message):
    path = save("bad.nii", ONES, **fields)
    with pytest.raises(InputError, match=f"bad.nii: {message}") as caught:
        read_image(path)
    assert caught.value.exit_code == 3


def test_files_that_are_no_images_are_refused(tmp_path):
    for content in (b"", b"\x5c\x01\0\0short", b"hello" * 200, gzip.compress(b"hello" * 200)):
        (tmp_path / "x.nii.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"x\.nii\.gz"):
            read_header(tmp_path / "x.nii.gz")


def test_the_sform_wins_and_a_disagreement_is_noted(save):
    path = save("a.nii", ONES, qoffset_x=25.0)
    header, grid = read_header(path)
    np.testing.assert_array_equal(grid.affine, nib.load(path).affine)
    assert header.affine_source == "sform"
    assert header.notes == ["sform and qform disagree by up to 5 mm; the sform is used"]
    assert read_header(save("b.nii", ONES, qoffset_x=20.05))[0].notes == []


def test_the_qform_serves_where_the_sform_has_no_code(save):
    path = save("a.nii", ONES, sform_code=0, quatern_b=0.1, quatern_c=-0.2, quatern_d=0.3)
    header, grid = read_header(path)
    assert header.affine_source == "qform"
    np.testing.assert_allclose(grid.affine, nib.load(path).header.get_qform(), atol=1e-12)


def test_no_affine_is_accepted_on_request(save):
    path = save("a.nii", ONES, sform_code=0, qform_code=0)
    header, grid = read_header(path, allow_no_affine=True)
    assert grid.voxel_size == (1.5, 1.5, 2.0)
    assert (header.affine_source, len(header.notes)) == ("none", 1)


def test_a_scaling_of_zero_is_no_scaling_and_a_lost_intercept_is_noted(save):
    header, _ = read_header(save("a.nii", ONES, slope=0.0, inter=-4096.0))
    assert not header.is_scaled
    assert header.notes == ["scl_slope 0 means no scaling; scl_inter -4096 ignored"]


def test_facts_of_a_header(save):
    path = save("f.nii.gz", ONES, endian=">", slope=2.0, inter=1.0, descrip=b"text", intent_code=1001)
    header, grid = read_header(path)
    assert (header.shape, header.dtype.str, header.offset, header.n_bytes) == ((4, 5, 6), ">i2", 352, 240)
    assert (header.slope, header.intercept, header.description, header.intent) == (2.0, 1.0, "text", "estimate")
    assert (header.sform_code, header.qform_code, grid.handedness) == (1, 1, -1.0)


def test_oblique_headers_of_a_scanner_give_nibabels_affine(test_data):
    for name in ("axial_tilted_header.nii", "sagittal_tilted_header.nii"):
        path = test_data / "canon-dwi-brain-oblique" / name
        header, grid = read_header(path)
        with path.open("rb") as stream:
            expected = nib.Nifti1Header.from_fileobj(stream).get_best_affine()
        np.testing.assert_array_equal(grid.affine, expected)
        assert header.shape == (80, 80, 40, 13)
        rotation = expected[:3, :3] / np.linalg.norm(expected[:3, :3], axis=0)
        np.testing.assert_allclose(grid.b0_direction, rotation.T @ [0, 0, 1], atol=1e-6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 359), st.integers(0, 255)), min_size=1, max_size=12),
    version=st.sampled_from([1, 2]),
)
def test_random_damage_to_a_header_never_escapes_as_another_error(save, changes, version):
    path = save("fuzz.nii", ONES, version=version)
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position] = value
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        image = read_image(path, dtype=np.complex64)
        assert image.array.nbytes <= 8 * len(content)
