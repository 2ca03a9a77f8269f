"""Registration of a series with the session's T1-weighted image, and the table of its regions, as steps."""

import csv
import json

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.register import register_series
from qsmengine.cohort.work.tabulate import write_table
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix
from qsmengine.ops.agreement import Agreement
from qsmengine.ops.alignment import Alignment
from qsmengine.ops.transforms import Transform
from qsmengine.sessions import placement
from tests.cohort.making import Dataset
from tests.cohort.small import configuration
from tests.ops.heads import GRID, head, motion, moved, texture

SLOPE = np.array([0.3, -0.2, 0.1])
"""Change of the map [1/mm] along the scanner's axes."""
BOXES = {10: (slice(12, 19), slice(20, 28), slice(18, 24)), 49: (slice(25, 32), slice(20, 28), slice(18, 24))}
POSE = motion((8.0, -6.0, 10.0), (9.0, -7.0, 6.0))
MAPS = ("sub-01/anat/sub-01_Chimap.nii.gz", "sub-01/anat/sub-01_desc-reliable_mask.nii.gz")
ENDINGS = ("brain_T1w.nii.gz", "dgm_dseg.nii.gz", "dgm_dseg.tsv")
ANATOMY = tuple(f"sub-01/anat/sub-01_desc-{end}" for end in ENDINGS)


def expected(label):
    """Value of the linear map in the middle of a structure, in the pose of the gradient echoes."""
    middle = [(one.start + one.stop - 1) / 2 for one in BOXES[label]]
    return float(SLOPE @ (np.linalg.inv(POSE) @ GRID.affine @ [*middle, 1.0])[:3])


@pytest.fixture
def place(tmp_path):
    """Gradient echoes of a head, a map that is linear in space, and the segmented head in another pose."""
    tissue = texture(np.random.default_rng(1))
    dataset, out = Dataset(tmp_path / "bids"), tmp_path / "out"
    for path in dataset.gre("01", grid=GRID, times=(0.01,)):
        if "part-mag" in path.name:
            write_image(path, head(tissue, -0.8), GRID)
    labels = np.zeros(GRID.shape, np.int16)
    for label, box in BOXES.items():
        labels[box] = label
    points = np.moveaxis(np.indices(GRID.shape), 0, -1) @ GRID.affine[:3, :3].T + GRID.affine[:3, 3]
    images = {MAPS[0]: (points @ SLOPE).astype("f4"), MAPS[1]: np.ones(GRID.shape, "u1"), ANATOMY[1]: labels,
              ANATOMY[0]: moved(head(tissue, 1.2), POSE)}  # fmt: skip
    for name, array in images.items():
        write_image(out / name, array, GRID)
    write_json(out / MAPS[0].replace(".nii.gz", ".json"), {"Units": "ppm"})
    text = "index\tname\themisphere\tvolume\treliable\treasons\n10\tthalamus\tleft\t21504.0\t1\tn/a\n"
    write_text(out / ANATOMY[2], f"{text}49\tthalamus\tright\t21504.0\t0\ttoo large\n")
    return Place(tmp_path / "bids", out, tmp_path / "scratch", cpu(1))


REGISTRATION = Step(
    name="registration_qsm", kind="registration", after=("qsm", "anatomy"), settings=configuration("qsm"),
    inputs={"magnitude": ("sub-01/anat/sub-01_part-mag_MEGRE.nii.gz",),
            "phase": ("sub-01/anat/sub-01_part-phase_MEGRE.nii.gz",)},
    options={"name": "sub-01_MEGRE.nii.gz", "maps": MAPS[0], "space": "gre", "series": "qsm",
             "structures": "anatomy"},
)  # fmt: skip
TABLE = Step(
    name="regions_seg-anatomy", kind="regions", inputs={}, after=("anatomy",), uses=("qsm", "registration_qsm"),
    outputs=tuple(f"sub-01/anat/sub-01_seg-anatomy_desc-dgm_stats{end}" for end in (".tsv", ".json")),
    options={"lut": "freesurfer-aseg", "pairs": {"registration_qsm": "qsm", "registration_dti": "dti"},
             "structures": "anatomy", "volumes": True},
)  # fmt: skip
BEFORE = {"qsm": MAPS, "anatomy": ANATOMY}


def table_of(place, files):
    write_table(TABLE, place, {**BEFORE, "registration_qsm": files})
    text = (place.out / TABLE.outputs[0]).read_text()
    return {row["hemisphere"]: row for row in csv.DictReader(text.splitlines(), delimiter="\t")}


@pytest.fixture
def aligned(monkeypatch):
    """The registration finds the true pose."""
    found = Alignment("rigid", Transform(POSE), Agreement(1.2, 0.98, 0.9), 1.5, ())
    monkeypatch.setattr(placement, "align", lambda *_, **__: found)


def test_means_are_those_of_the_structures_in_the_pose_of_the_series(aligned, place):
    files, (note,) = register_series(REGISTRATION, place, BEFORE)
    rows = table_of(place, files)
    for label, side in ((10, "left"), (49, "right")):
        assert float(rows[side]["chi_mean"]) == pytest.approx(expected(label), abs=0.01)
        assert float(rows[side]["volume_mm3"]) == 21504
    assert "overlap 0.98" in note
    assert (rows["left"]["reliable"], rows["right"]["reliable"]) == ("1", "0")
    assert rows["right"]["reasons"] == "too large"


def test_files_name_their_origin(aligned, place):
    files, _ = register_series(REGISTRATION, place, BEFORE)
    xfm = next(name for name in files if name.endswith("sub-01_from-T1w_to-gre_mode-image_xfm.txt"))
    np.testing.assert_allclose(read_matrix(place.out / xfm), POSE, atol=1e-9)
    record = json.loads((place.out / "sub-01/anat/sub-01_space-gre_desc-registration_prov.json").read_text())
    assert record["Check"]["HeadOverlap"] == 0.98
    assert {entry["File"] for entry in record["Inputs"]} >= {"sub-01_desc-dgm_dseg.nii.gz"}
    labels = read_image(place.out / "sub-01/anat/sub-01_space-gre_desc-dgm_dseg.nii.gz", dtype=np.int16)
    assert labels.grid.matches(GRID)
    assert set(np.unique(labels.array)) == {0, 10, 49}
    sidecar = json.loads((place.out / "sub-01/anat/sub-01_space-gre_desc-brain_T1w.json").read_text())
    assert sidecar["SpatialReference"] == "bids::sub-01/anat/sub-01_space-gre_desc-reference_MEGRE.nii.gz"
    table_of(place, files)
    dictionary = json.loads((place.out / TABLE.outputs[1]).read_text())
    assert "sub-01_desc-dgm_dseg.nii.gz" in dictionary["index"]["Description"]
    assert "weighted by the part of each voxel" in dictionary["chi_mean"]["Description"]


def test_series_that_were_not_registered_are_noted_and_none_is_an_error(aligned, place):
    files, _ = register_series(REGISTRATION, place, BEFORE)
    _, notes = write_table(TABLE, place, {**BEFORE, "registration_qsm": files})
    assert "dti: not in the table, as it was not registered" in notes
    with pytest.raises(InputError, match="no series was registered"):
        write_table(TABLE, place, BEFORE)


def test_a_refused_registration_leaves_nothing(monkeypatch, place):
    problem = "the heads overlap by 0.41, less than 0.85"
    found = Alignment("rigid", Transform(np.eye(4)), Agreement(1.01, 0.41, 0.4), 1.0, (problem,))
    monkeypatch.setattr(placement, "align", lambda *_, **__: found)
    before = sorted(place.out.rglob("*"))
    with pytest.raises(InputError, match=r"sub-01_desc-brain_T1w.nii.gz: .*overlap by 0.41.*no labels"):
        register_series(REGISTRATION, place, BEFORE)
    assert sorted(place.out.rglob("*")) == before


def test_ants_finds_the_pose_and_a_mirrored_head_is_refused(place):
    pytest.importorskip("ants", reason="antspyx is not installed")
    files, _ = register_series(REGISTRATION, place, BEFORE)
    rows = table_of(place, files)
    for label, side in ((10, "left"), (49, "right")):
        assert float(rows[side]["chi_mean"]) == pytest.approx(expected(label), abs=0.2)  # about 0.5 mm
    image = place.out / ANATOMY[0]
    write_image(image, np.ascontiguousarray(read_image(image).array[::-1]), GRID)
    with pytest.raises(InputError, match="mirror"):
        register_series(REGISTRATION, place, BEFORE)
