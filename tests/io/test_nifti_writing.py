import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.eulerangles import euler2mat

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import read_image, write_image
from qsmengine.io.voxel_bytes import BLOCK

OBLIQUE = nib.affines.from_matvec(euler2mat(0.3, -0.2, 0.1) @ np.diag([-0.8, 0.9, 2.5]), [3.0, -20.0, 11.0])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 9), min_size=3, max_size=4).filter(lambda s: len(s) == 3 or s[3] > 1),
    dtype=st.sampled_from([np.float32, np.float64, np.float16, ">f4", bool, np.uint8, np.int64, np.uint16]),
    order=st.sampled_from("CF"),
    name=st.sampled_from(["o.nii", "o.nii.gz"]),
    seed=st.integers(0, 2**31),
)
def test_what_is_written_is_what_nibabel_and_we_read(tmp_path, shape, dtype, order, name, seed):
    random = np.random.default_rng(seed)
    array = np.asarray((random.standard_normal(shape) * 100).astype(dtype), order=order)
    grid = Grid(tuple(shape[:3]), OBLIQUE)
    write_image(tmp_path / name, array, grid)
    got, got_grid, header = read_image(tmp_path / name, dtype=np.float64)
    np.testing.assert_array_equal(got, array.astype(np.float32) if array.dtype.kind == "f" else array)
    assert header.dtype.kind in ("f" if array.dtype.kind == "f" else "iu")
    assert got_grid.matches(grid, 1e-4)
    peer = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(peer.dataobj).reshape(got.shape), got)
    np.testing.assert_allclose(peer.header.get_qform(), OBLIQUE, atol=1e-5)


def test_a_written_header_says_what_it_should(tmp_path, rng):
    array = rng.standard_normal((4, 5, 6))
    write_image(
        tmp_path / "m.nii.gz",
        array,
        Grid((4, 5, 6), OBLIQUE),
        intent="estimate",
        description="chi",
        xform_code=4,
    )
    header = nib.load(tmp_path / "m.nii.gz").header
    raw = gzip.decompress((tmp_path / "m.nii.gz").read_bytes())
    assert header.get_data_dtype() == np.float32
    assert np.frombuffer(raw, "<f4", 2, 112).tolist() == [1.0, 0.0]
    assert (header["sform_code"], header["qform_code"]) == (4, 4)
    assert header.get_xyzt_units()[0] == "mm"
    assert (header.get_intent()[0], bytes(header["descrip"]).rstrip(b"\0")) == ("estimate", b"chi")


def test_an_affine_with_shear_is_written_as_sform_only(tmp_path):
    sheared = OBLIQUE.copy()
    sheared[:3, 0] += 0.2 * sheared[:3, 1]
    write_image(tmp_path / "s.nii", np.ones((3, 3, 3)), Grid((3, 3, 3), sheared))
    got = read_image(tmp_path / "s.nii")
    assert (got.header.sform_code, got.header.qform_code) == (1, 0)
    assert any("not orthogonal" in note for note in got.header.notes)
    np.testing.assert_allclose(got.grid.affine, sheared, rtol=1e-6)


def test_integers_take_the_smallest_type_that_holds_them(tmp_path):
    for value, name in ((200, "uint8"), (-1, "int16"), (40000, "int32")):
        write_image(tmp_path / "l.nii", np.full((2, 2, 2), value), Grid((2, 2, 2), OBLIQUE))
        assert nib.load(tmp_path / "l.nii").get_data_dtype().name == name
    with pytest.raises(InputError, match="cannot be written"):
        write_image(tmp_path / "l.nii", np.full((2, 2, 2), 2**40), Grid((2, 2, 2), OBLIQUE))
    with pytest.raises(InputError, match="complex64"):
        write_image(tmp_path / "l.nii", np.ones((2, 2, 2), np.complex64), Grid((2, 2, 2), OBLIQUE))


def test_an_array_off_its_grid_or_an_unknown_extension_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\(2, 2, 3\) does not fit a grid of \(2, 2, 2\)"):
        write_image(tmp_path / "a.nii", np.ones((2, 2, 3)), Grid((2, 2, 2), OBLIQUE))
    with pytest.raises(InputError, match=r"\.nii or \.nii\.gz"):
        write_image(tmp_path / "a.mgz", np.ones((2, 2, 2)), Grid((2, 2, 2), OBLIQUE))
    assert list(tmp_path.iterdir()) == []


def test_equal_voxels_give_equal_bytes_whatever_the_memory_order_and_the_process(tmp_path):
    code = (
        "import sys, numpy as np; from qsmengine.grid import Grid; from qsmengine.io import write_image;"
        "a = np.random.default_rng(5).standard_normal((90, 80, 70)).astype('f4');"
        "a = np.asarray(a, order=sys.argv[2]) if sys.argv[2] != 'V' else np.repeat(a, 2, axis=0)[::2];"
        "write_image(sys.argv[1], a, Grid.from_voxel_size(a.shape, (1, 1, 2)))"
    )
    digests = set()
    for order in "CFV":
        path = tmp_path / f"{order}.nii.gz"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run([sys.executable, "-c", code, str(path), order], check=True, env=environment)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert (tmp_path / "C.nii.gz").read_bytes()[4:8] == b"\0\0\0\0"
    assert read_image(tmp_path / "C.nii.gz").array.nbytes > BLOCK


@pytest.mark.parametrize("components", [(), (2,)])
def test_a_part_of_the_grid_is_written_as_the_whole_image_with_zeros(tmp_path, rng, components):
    grid = Grid.from_voxel_size((7, 6, 40), (1.0, 1.0, 1.0))
    part = (slice(2, 6), slice(1, 4), slice(5, 38))
    values = rng.normal(size=(4, 3, 33, *components)).astype(np.float32)
    whole = np.zeros((*grid.shape, *components), np.float32)
    whole[part] = values
    write_image(tmp_path / "part.nii.gz", values, grid, part=part)
    write_image(tmp_path / "whole.nii.gz", whole, grid)
    assert (tmp_path / "part.nii.gz").read_bytes() == (tmp_path / "whole.nii.gz").read_bytes()
    with pytest.raises(InputError, match="does not fit a grid"):
        write_image(tmp_path / "other.nii.gz", whole, grid, part=part)
