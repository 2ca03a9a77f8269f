import json

import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.io import load_dwi, load_gre, read_image
from qsmengine.phantom import write_bids


@pytest.fixture(scope="module")
def dataset(head, tmp_path_factory):
    root = tmp_path_factory.mktemp("bids")
    return root, write_bids(head, root, subject="07")


def test_series_come_back_as_they_were(head, dataset):
    _, folder = dataset
    anat = folder / "anat"
    gre = load_gre(sorted(anat.glob("*part-mag*.nii.gz")), sorted(anat.glob("*part-phase*.nii.gz"))).series
    assert gre.echo_times == head.gre.echo_times
    assert gre.grid.field_strength == 3.0
    assert gre.grid.matches(head.grid)
    np.testing.assert_array_equal(gre.magnitude, head.gre.magnitude)
    np.testing.assert_allclose(gre.phase, head.gre.phase, atol=1e-6)
    dwi = load_dwi(folder / "dwi" / "sub-07_dwi.nii.gz").series
    np.testing.assert_array_equal(dwi.signal, head.dwi.signal)
    np.testing.assert_allclose(dwi.b_vectors, head.dwi.b_vectors, atol=1e-7)
    np.testing.assert_array_equal(dwi.b_values, head.dwi.b_values)


def test_truth_stands_beside_with_units(head, dataset):
    root, _ = dataset
    anat = root / "derivatives" / "truth" / "sub-07" / "anat"
    for stem, key, unit, factor in (
        ("sub-07_Chimap", "chi", "ppm", 1.0),
        ("sub-07_R2starmap", "r2star", "1/s", 1.0),
        ("sub-07_desc-total_fieldmap", "total_field", "Hz", 127.728),
        ("sub-07_desc-local_fieldmap", "local_field", "Hz", 127.728),
    ):
        sidecar = json.loads((anat / f"{stem}.json").read_text())
        assert sidecar["Units"] == unit
        stored = read_image(anat / f"{stem}.nii.gz").array
        np.testing.assert_allclose(stored, head.truth[key].array * factor, rtol=1e-5, atol=1e-5)
    shim = json.loads((anat / "sub-07_desc-total_fieldmap.json").read_text())["Shim"]["Terms"]
    assert tuple(shim.values()) == head.shim.coefficients
    fa = read_image(anat.parent / "dwi" / "sub-07_model-tensor_param-fa_dwimap.nii.gz").array
    np.testing.assert_array_equal(fa, head.truth["fa"].array)


def test_every_label_in_the_image_stands_in_its_table(head, dataset):
    root, _ = dataset
    anat = root / "derivatives" / "truth" / "sub-07" / "anat"
    rows = [line.split("\t") for line in (anat / "sub-07_dseg.tsv").read_text().splitlines()]
    assert rows[0] == ["index", "name"]
    table = {int(index): name for index, name in rows[1:]}
    image = read_image(anat / "sub-07_dseg.nii.gz", dtype=np.int16).array
    assert set(np.unique(image)) - {0} <= set(table)
    assert table[13] == "left_pallidum"
    mask = read_image(anat / "sub-07_desc-brain_mask.nii.gz", dtype=np.uint8).array
    np.testing.assert_array_equal(mask, head.mask)


def test_descriptions_name_their_kind(dataset):
    root, _ = dataset
    kinds = [
        json.loads((folder / "dataset_description.json").read_text())["DatasetType"]
        for folder in (root, root / "derivatives" / "truth")
    ]
    assert kinds == ["raw", "derivative"]


def test_subject_that_could_leave_the_folder_is_refused(head, tmp_path):
    with pytest.raises(UsageError, match="subject"):
        write_bids(head, tmp_path, subject="../x")
    assert not list(tmp_path.iterdir())
