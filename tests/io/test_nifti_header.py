"""Headers against nibabel's, byte by byte."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.spatialimages import HeaderDataError

from qsmengine.io._nifti_header import INTENTS, NiftiHeader


def affine(rng, *, shear=0.0, flip=False):
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] + shear * rng.normal(size=(3, 3))
    axes[:, 0] *= -1.0 if flip == (np.linalg.det(axes) > 0) else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = axes * rng.uniform(0.5, 3.0, 3)
    matrix[:3, 3] = rng.normal(scale=80.0, size=3)
    return matrix


@pytest.mark.parametrize("intent", [None, "estimate", "p value"])
@pytest.mark.parametrize("dtype", ["<u1", "<i2", "<i4", "<f4"])
@pytest.mark.parametrize(("shear", "flip"), [(0.0, False), (0.0, True), (0.05, False)])
def test_written_headers_are_those_of_nibabel(rng, intent, dtype, shear, flip):
    matrix, shape = affine(rng, shear=shear, flip=flip), (7, 8, 9, 4)
    theirs = nib.Nifti1Header(endianness="<")
    theirs.set_data_shape(shape)
    theirs.set_data_dtype(np.dtype(dtype))
    theirs.set_sform(matrix, code=2)
    theirs.set_qform(matrix, code=2, strip_shears=True)
    theirs["scl_slope"], theirs["scl_inter"], theirs["vox_offset"] = 1.0, 0.0, 352
    theirs.set_xyzt_units("mm", "sec")
    if intent is not None:
        theirs.set_intent(intent)
    ours = NiftiHeader.empty()
    ours.set_image(shape, np.dtype(dtype), intent)
    ours.set_affines(matrix, 2)
    assert ours.block == theirs.binaryblock
    np.testing.assert_array_equal(ours.qform(), theirs.get_qform())


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize(("version", "kind"), [(1, nib.Nifti1Header), (2, nib.Nifti2Header)])
@pytest.mark.parametrize("flip", [False, True])
def test_read_headers_are_those_of_nibabel(rng, version, kind, endianness, flip):
    theirs = kind(endianness=endianness)
    theirs.set_data_shape((5, 6, 7))
    theirs.set_sform(affine(rng, shear=0.1), code=1)
    theirs.set_qform(affine(rng, flip=flip), code=1)
    theirs["descrip"], theirs["scl_slope"], theirs["scl_inter"] = b"some text", 2.5, -1.0
    ours = NiftiHeader(theirs.binaryblock, version, endianness)
    assert ours.block == theirs.binaryblock
    same = ("dim", "pixdim", "datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter", "descrip",
            "qform_code", "sform_code", "intent_code", "xyzt_units", "sizeof_hdr", "magic")  # fmt: skip
    for name in same:
        np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_array_equal(ours.sform(), theirs.get_sform())
    np.testing.assert_array_equal(ours.qform(), theirs.get_qform())


@pytest.mark.parametrize(
    ("name", "value"), [("quatern_b", 1.1), ("pixdim", [1, -1, 1, 1, 1, 1, 1, 1]), ("pixdim", [0.5] + [1] * 7)]
)
def test_quaternions_that_nibabel_refuses_are_refused(rng, name, value):
    theirs = nib.Nifti1Header()
    theirs.set_qform(affine(rng), code=1)
    theirs[name] = value
    ours = NiftiHeader(theirs.binaryblock, 1, theirs.endianness)
    with pytest.raises((ValueError, HeaderDataError)):
        theirs.get_qform()
    with pytest.raises(ValueError, match=r"exceed 1|negative voxel sizes|pixdim\[0\]"):
        ours.qform()


def test_intents_have_the_names_of_nibabel():
    header = NiftiHeader.empty()
    for code, name in INTENTS.items():
        header["intent_code"] = code
        assert header.intent == name == nib.nifti1.intent_codes.label[code]
    header["intent_code"] = 999
    assert header.intent == "unknown code 999"


def test_a_half_turn_is_read_exactly():
    header = NiftiHeader.empty()
    header.set_affines(np.diag([-2.0, -2.0, 3.0, 1.0]), 1)
    np.testing.assert_array_equal(header.qform(), np.diag([-2.0, -2.0, 3.0, 1.0]))
