"""The derivative dataset as a whole: the official validator, shared files, sources, privacy."""

import json
import shutil
from pathlib import Path

import pytest

from qsmengine.backend.device import cpu
from qsmengine.cohort.outputs.group_tables import write_group_table
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.io.bids import BidsName
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.modalities.gre.session import QsmRequest, run_qsm_session
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.outputs.dataset import dataset_link, dataset_root, raw_dataset, source_uri
from tests.made_sessions import make_ball, write_ball, write_dwi
from tests.report.results import write_table
from tests.validator import errors

SECRETS = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19700102",
    "AcquisitionDateTime": "2021-03-04T05:06:07",
    "InstitutionName": "Hospital of the test",
}
CONFIG = ("inversion=tkd", "background=vsharp", "background.max_radius=6", "swi=homodyne")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Raw dataset with two sessions of echoes and diffusion, whose sidecars name the patient; derivatives."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "dataset_description.json").write_text(
        '{"Name": "r", "BIDSVersion": "1.10.0", "DatasetType": "raw", "DatasetDOI": "doi:10.1/x"}'
    )
    out = raw / "derivatives" / "qsmengine"
    config = load_config(settings=CONFIG)
    for subject in ("01", "02"):
        folder = raw / f"sub-{subject}"
        stem = f"sub-{subject}_" + "{echo}part-{part}_MEGRE"
        files = write_ball(folder / "anat", make_ball(int(subject)), stem)
        for path in (folder / "anat").glob("*.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), **SECRETS}))
        run_qsm_session(QsmRequest(tuple(files["mag"]), tuple(files["phase"]), out), config, cpu())
        dwi, _ = write_dwi(folder / "dwi")
        (folder / "dwi" / "sub-01_dwi.json").write_text(json.dumps(SECRETS))
        prefix = out / f"sub-{subject}" / "dwi" / f"sub-{subject}"
        run_dti_session(DtiRequest(dwi, prefix, names="bids"), load_config(), cpu())
    return raw, out


def test_official_validator_finds_no_error(dataset):
    assert errors(dataset[1]) == []


def test_pages_and_tables_of_the_cohort_are_valid_too(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[1], copy)
    for subject in ("sub-01", "sub-02"):
        write_table(copy, subject, {"pallidum": 0.1})
    (copy / ".qsmengine" / "sessions").mkdir(parents=True)
    (copy / ".qsmengine" / "sessions" / "sub-03.json").write_text('{"session": "sub-03", "problems": ["none"]}')
    written = [*write_reports(copy), write_group_table(copy)]
    assert len(written) == 6
    assert errors(copy) == []


def test_validator_looks_at_the_maps(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[1], copy)
    path = copy / "sub-01" / "anat" / "sub-01_Chimap.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "SkullStripped"}))
    path = copy / "sub-02" / "anat" / "sub-02_R2starmap.nii.gz"
    path.rename(path.with_name("sub-02_R2star.nii.gz"))
    found = {code for code, _, _ in errors(copy)}
    assert {"SIDECAR_KEY_REQUIRED", "NOT_INCLUDED"} <= found


def test_only_names_that_bids_lacks_are_ignored(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset[1], copy)
    (copy / ".bidsignore").unlink()
    strange = {
        Path(where).name.rsplit("_", 1)[-1].split(".")[0]
        for code, _, where in errors(copy)
        if code in {"NOT_INCLUDED", "ALL_FILENAME_RULES_HAVE_ISSUES"}
    }
    quality = {"qsm", "dti"}
    assert strange == {"fieldmap", "swi", "minIP", "dwimap", "prov"} | quality


def test_every_session_would_write_the_same_shared_files(dataset, tmp_path):
    raw, out = dataset
    for name in ("dataset_description.json", ".bidsignore"):
        before = (out / name).read_bytes()
        (out / name).unlink()
        dwi = raw / "sub-02" / "dwi" / "sub-01_dwi.nii.gz"
        request = DtiRequest(dwi, out / "sub-02" / "dwi" / "sub-02", names="bids", force=True)
        run_dti_session(request, load_config(), cpu())
        assert (out / name).read_bytes() == before


def test_sources_resolve_through_the_dataset_links(dataset):
    out = dataset[1]
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["SourceDatasets"] == [{"URL": "../..", "DOI": "doi:10.1/x"}]
    for path in out.rglob("*map.json"):
        for uri in json.loads(path.read_text())["Sources"]:
            scheme, name, inside = uri.split(":", 2)
            assert scheme == "bids"
            assert (out / description["DatasetLinks"][name] / inside).is_file()


def test_provenance_identifies_inputs_and_outputs_of_both_kinds(dataset):
    raw, out = dataset
    for kind, folder in (("qsm", "anat"), ("dti", "dwi")):
        record = json.loads((out / "sub-01" / folder / f"sub-01_desc-{kind}_prov.json").read_text())
        assert {"qsmengine", "kernels", "python", "numpy"} <= set(record["Software"])
        assert record["Device"] == "cpu"
        assert all(step["Parameters"] is not None and step["DOI"] for step in record["Steps"])
        for entry in record["Inputs"]:
            assert raw.joinpath(*entry["URI"].split(":", 2)[2].split("/")).name == entry["File"]
            assert len(entry["SHA256"]) == 64


def test_nothing_that_identifies_the_patient_is_copied(dataset):
    for path in (p for p in dataset[1].rglob("*") if p.is_file()):
        content = path.read_bytes()
        for secret in SECRETS.values():
            assert secret.encode() not in content, path


def test_derivatives_elsewhere_link_by_file_uri(tmp_path):
    raw = tmp_path / "my raw"
    assert dataset_link(raw, raw / "derivatives" / "x") == "../.."
    assert dataset_link(raw, tmp_path / "out") == f"file://{tmp_path}/my%20raw"


def test_labels_in_derivatives_belong_to_the_raw_dataset_around_them(tmp_path):
    for folder, kind in ((tmp_path, "raw"), (tmp_path / "derivatives" / "seg", "derivative")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dataset_description.json").write_text(json.dumps({"DatasetType": kind}))
    labels = tmp_path / "derivatives" / "seg" / "sub-1" / "dseg.nii.gz"
    assert raw_dataset(labels) == tmp_path
    assert source_uri(labels) == "bids:raw:derivatives/seg/sub-1/dseg.nii.gz"
    assert source_uri(tmp_path.parent / "else.nii.gz") == "else.nii.gz"


def test_container_is_named_where_the_image_tells(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("QSMENGINE_CONTAINER_TYPE", "docker")
    monkeypatch.setenv("QSMENGINE_CONTAINER_TAG", "qsmengine:1-cpu")
    dwi = dataset[0] / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    prefix = tmp_path / "out" / "sub-01" / "ses-1" / "dwi" / "sub-01_ses-1"
    run_dti_session(DtiRequest(dwi, prefix, names="bids"), load_config(), cpu())
    description = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Container"] == {"Type": "docker", "Tag": "qsmengine:1-cpu"}


@pytest.mark.parametrize(
    ("folder", "name", "root"),
    [
        ("o/sub-1/dwi", "sub-1_dwimap.nii.gz", "o"),
        ("o/sub-1/ses-2/dwi", "sub-1_ses-2_dwimap.nii.gz", "o"),
        ("o/dwi", "sub-1_dwimap.nii.gz", None),
        ("o/sub-1/dwi", "sub-1_ses-2_dwimap.nii.gz", None),
        ("o/sub-1/dwi", "dwimap.nii.gz", None),
    ],
)
def test_root_of_a_dataset_is_read_off_the_folders(folder, name, root):
    assert dataset_root(Path(folder), BidsName.parse(name)) == (None if root is None else Path(root))
