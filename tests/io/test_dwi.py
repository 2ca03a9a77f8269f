import nibabel as nib
import numpy as np
import pytest
from dipy.io.gradients import read_bvals_bvecs

from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError
from qsmengine.io import load_dwi


@pytest.fixture
def dwi(save, rng, tmp_path):
    """A series of four volumes with its table beside it; `dwi(bval=..., bvec=...)` changes the text."""

    def _dwi(array=None, bval="0 1000 1000 1000", bvec="0 1 0 0\n0 0 1 0\n0 0 0 1", name="dwi.nii.gz"):
        if array is None:
            array = rng.integers(1, 2000, (6, 5, 4, 4)).astype(np.int16)
        path = save(name, array)
        (tmp_path / "dwi.bval").write_text(bval)
        (tmp_path / "dwi.bvec").write_text(bvec)
        return path

    return _dwi


def test_the_real_series_loads_as_its_peers_read_it():
    path = demo_path("siemens-dwi-brain-with-vendor-maps") / "dwi.nii.gz"
    loaded = load_dwi(path)
    values, vectors = read_bvals_bvecs(
        str(path).replace(".nii.gz", ".bval"), str(path).replace(".nii.gz", ".bvec")
    )
    np.testing.assert_array_equal(loaded.series.signal, np.asarray(nib.load(path).dataobj))
    assert loaded.series.signal.flags.f_contiguous
    assert loaded.series.signal.dtype == np.float32
    np.testing.assert_array_equal(loaded.series.b_values, values)
    np.testing.assert_allclose(loaded.series.b_vectors, vectors, atol=2e-6)
    assert loaded.series.b0_volumes.tolist() == [True] + [False] * 20
    assert loaded.notes == []
    assert [source.name for source in loaded.sources] == ["dwi.nii.gz", "dwi.bval", "dwi.bvec"]


def test_the_stored_type_can_be_kept(dwi):
    path = dwi()
    signal = load_dwi(path, dtype=np.int16).series.signal
    assert signal.dtype == np.int16
    np.testing.assert_array_equal(signal, np.asarray(nib.load(path).dataobj))


def test_tables_elsewhere_are_taken(dwi, tmp_path):
    path = dwi()
    moved = [(tmp_path / f"dwi.{end}").rename(tmp_path / f"other.{end}") for end in ("bval", "bvec")]
    assert load_dwi(path, *moved).series.b_values.tolist() == [0, 1000, 1000, 1000]
    with pytest.raises(InputError, match=r"dwi\.bval: not found next to dwi\.nii\.gz"):
        load_dwi(path)
    with pytest.raises(InputError, match=r"none\.bvec: no such file"):
        load_dwi(path, moved[0], tmp_path / "none.bvec")


def test_counts_that_differ_are_all_named(dwi):
    with pytest.raises(InputError, match=r"4 volumes, 3 b-values in .*dwi\.bval, 4 directions in .*dwi\.bvec"):
        load_dwi(dwi(bval="0 1000 1000"))
    with pytest.raises(InputError, match=r"4 volumes, 4 b-values.*, 5 directions"):
        load_dwi(dwi(bvec="0 1 0 0 1\n0 0 1 0 0\n0 0 0 1 0"))
    with pytest.raises(InputError, match="1 volumes, 4 b-values"):
        load_dwi(dwi(array=np.ones((4, 4, 4), np.int16)))


def test_a_direction_missing_at_b0_is_mended_and_at_high_b_refused(dwi):
    loaded = load_dwi(dwi(bvec="nan 1 0 0\nnan 0 1 0\nnan 0 0 1"))
    assert not loaded.series.b_vectors[0].any()
    assert len(loaded.notes) == 1
    with pytest.raises(InputError, match=r"dwi\.bvec: bvec: zero or NaN"):
        load_dwi(dwi(bvec="0 1 0 0\n0 0 0 0\n0 0 0 1"))


def test_an_empty_table_is_refused(dwi):
    with pytest.raises(InputError, match=r"dwi\.bval: empty"):
        load_dwi(dwi(bval="\n"))


def test_unusable_signal_is_mended_or_refused(dwi, rng):
    array = rng.uniform(1, 9, (6, 5, 4, 4)).astype(np.float32)
    array[0, 0, 0, 0] = np.nan
    loaded = load_dwi(dwi(array=array))
    assert not loaded.series.signal[0, 0, 0].any()
    assert "1 of 480 signal values are NaN or infinite" in loaded.notes[0]
    array[:2, :, :, 2] = np.inf
    with pytest.raises(InputError, match="signal of volume 3 is NaN or infinite in 33% of the object's voxels"):
        load_dwi(dwi(array=array))
    with pytest.raises(InputError, match="every value is 0"):
        load_dwi(dwi(array=np.zeros((6, 5, 4, 4), np.int16)))


def test_five_dimensions_are_refused(dwi):
    with pytest.raises(InputError, match="four dimensions"):
        load_dwi(dwi(array=np.ones((2, 2, 2, 2, 2), np.int16)))


def test_a_lowest_shell_above_50_counts_as_unweighted_and_keeps_its_b_values(dwi):
    loaded = load_dwi(dwi(bval="56 65 1000 2000", bvec="1 0 1 0\n0 1 0 1\n0 0 0 0"))
    assert loaded.series.b0_volumes.tolist() == [True, True, False, False]
    assert loaded.series.b_values.tolist() == [56, 65, 1000, 2000]
    assert "b = 56 to 65" in loaded.notes[-1]


def test_the_threshold_asked_for_decides_what_is_unweighted(dwi):
    path = dwi(bval="5 100 1000 2000", bvec="0 0 1 0\n0 0 0 1\n0 0 0 0")
    assert load_dwi(path, b0_threshold=20).series.b_values.tolist() == [5, 1000, 2000]
    assert load_dwi(path, b0_threshold=100).series.b0_volumes.tolist() == [True, True, False, False]


def test_a_single_shell_has_no_unweighted_volume(dwi):
    path = dwi(bval="1000 1000 1000 1000", bvec="1 0 0 1\n0 1 0 0\n0 0 1 0")
    assert not load_dwi(path).series.b0_volumes.any()


def test_a_trace_image_at_the_end_is_left_out_with_a_note(dwi):
    loaded = load_dwi(dwi(bvec="0 1 0 0\n0 0 1 0\n0 0 0 0"))
    assert loaded.series.signal.shape[3] == len(loaded.series.b_values) == 3
    assert "excluded (direction 0 at b > 0): 4 (b = 1000)" in loaded.notes[0]


def test_volumes_are_left_out_on_request(dwi):
    path = dwi(bvec="0 1 nan 0\n0 0 nan 0\n0 0 nan 1")
    loaded = load_dwi(path, exclude=(3,))
    whole = np.asarray(nib.load(path).dataobj)
    np.testing.assert_array_equal(loaded.series.signal, whole[..., [0, 1, 3]])
    np.testing.assert_array_equal(loaded.series.b_vectors, [[0, 0, 0], [1, 0, 0], [0, 0, 1]])
    with pytest.raises(InputError, match=r"volumes \[5\] cannot be excluded: the series has 4"):
        load_dwi(path, exclude=(5,))


def test_tables_are_inherited_from_above_the_image(save, tmp_path):
    folder = tmp_path / "bids" / "sub-1" / "dwi"
    folder.mkdir(parents=True)
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    path = save("bids/sub-1/dwi/sub-1_part-mag_dwi.nii.gz", np.ones((4, 4, 4, 2), np.int16))
    (folder / "sub-1_dwi.bval").write_text("0 1000")
    (tmp_path / "bids" / "dwi.bvec").write_text("0 1\n0 0\n0 0")
    assert load_dwi(path).series.b_values.tolist() == [0, 1000]
