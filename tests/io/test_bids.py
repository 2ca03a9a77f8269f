import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsmengine.errors import InputError
from qsmengine.io import BidsName, write_dataset_description

LABELS = st.text("abcXYZ019", min_size=1, max_size=6)


def test_a_name_is_taken_apart_and_a_derivative_built():
    name = BidsName.parse("/data/sub-X/ses-Y/anat/sub-X_ses-Y_run-2_echo-1_part-phase_MEGRE.nii.gz")
    assert dict(name.entities) == {"sub": "X", "ses": "Y", "run": "2", "echo": "1", "part": "phase"}
    assert (name.suffix, name.extension, name.folder) == ("MEGRE", ".nii.gz", Path("sub-X/ses-Y"))
    product = name.derivative("fieldmap", desc="total")
    assert product.filename == "sub-X_ses-Y_run-2_desc-total_fieldmap.nii.gz"
    assert (
        name.derivative("Chimap", space="MNI", extension=".json").filename
        == "sub-X_ses-Y_run-2_space-MNI_Chimap.json"
    )


def test_entities_come_out_in_bids_order():
    name = BidsName({"desc": "brain", "foo": "1", "param": "fa", "model": "tensor", "sub": "1"}, "dwimap")
    assert name.filename == "sub-1_model-tensor_param-fa_desc-brain_foo-1_dwimap.nii.gz"


@given(st.dictionaries(st.sampled_from(["sub", "ses", "acq", "run", "echo", "desc"]), LABELS), LABELS)
def test_parsing_undoes_building(entities, suffix):
    name = BidsName(entities, suffix)
    assert BidsName.parse(name.filename) == name


@pytest.mark.parametrize(
    "bad",
    [
        "sub-../x_T1w.nii",
        "sub-1_echo_MEGRE.nii.gz",
        "sub-1_sub-2_MEGRE.nii",
        "sub-a.b_bold.nii",
        "sub-_T1w.nii",
        "s p.nii",
    ],
)
def test_what_is_no_bids_name_is_refused(bad):
    with pytest.raises(InputError):
        BidsName.parse(bad)


@pytest.mark.parametrize("label", ["..", "a/b", "a_b", "", "é"])
def test_no_label_can_leave_its_folder(label):
    with pytest.raises(InputError, match="letters and digits"):
        BidsName.parse("sub-1_MEGRE.nii.gz").derivative("Chimap", desc=label)


def test_the_dataset_description_has_what_derivatives_require(tmp_path):
    path = write_dataset_description(
        tmp_path, name="maps", version="1.2", source_datasets=[{"URL": "bids:raw"}]
    )
    content = json.loads(path.read_text())
    assert path.name == "dataset_description.json"
    assert content["DatasetType"] == "derivative"
    assert content["GeneratedBy"] == [{"Name": "qsmengine", "Version": "1.2"}]
    assert content["SourceDatasets"] == [{"URL": "bids:raw"}]
    assert {"Name", "BIDSVersion"} <= content.keys()
