"""Atlases on the grid of a susceptibility map, as a step: region tables, pages, and methods."""

import csv
import re
from functools import partial

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.atlases import write_atlases
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import write_matrix
from qsmengine.report.methods_text import citation
from qsmengine.report.records import find_series
from qsmengine.sessions import atlas
from qsmengine.stages.anatomy.atlas import place_atlas
from tests.stages.anatomy.template_head import TO_IMAGE, head, straight, thinned

FOLDER = "sub-01/anat/sub-01_"
MAPS = (f"{FOLDER}Chimap.nii.gz", f"{FOLDER}desc-reliable_mask.nii.gz")
ANATOMY = tuple(f"{FOLDER}desc-{end}" for end in ("brain_T1w.nii.gz", "dgm_dseg.nii.gz", "dgm_dseg.tsv"))
MATRIX = f"{FOLDER}from-T1w_to-gre_mode-image_xfm.txt"
BEFORE = {"qsm": MAPS, "anatomy": ANATOMY, "registration_qsm": (MATRIX,)}
STEP = Step(
    name="atlas_qsm",
    kind="atlas",
    inputs={},
    after=("qsm", "anatomy", "registration_qsm"),
    options={
        "maps": MAPS[0], "name": "sub-01_part-mag_MEGRE.nii.gz", "space": "gre", "structures": "anatomy",
        "atlases": ["cit168", "thalamus-hcp"],
    },
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Files of a head that is the template; the network has a fifth of its right pallidum."""
    labels = thinned(52)
    one, out = head(labels, step=2), tmp_path / "out"
    images = {MAPS[0]: (one.chi, one.chi_grid), MAPS[1]: (np.ones(one.chi.shape, "u1"), one.chi_grid),
              ANATOMY[0]: (one.image, one.grid), ANATOMY[1]: (labels, one.grid)}  # fmt: skip
    for name, (array, grid) in images.items():
        write_image(out / name, array, grid)
    write_json(out / MAPS[0].replace(".nii.gz", ".json"), {"Units": "ppm"})
    write_text(out / ANATOMY[2], "index\tname\n")
    write_matrix(out / MATRIX, TO_IMAGE)
    fast = partial(place_atlas, find=straight)
    monkeypatch.setattr(atlas, "place_atlas", lambda *given, **_: fast(*given))
    return Place(tmp_path / "bids", out, tmp_path / "scratch", cpu(1))


def rows_of(path):
    return {row["index"]: row for row in csv.DictReader(path.read_text().splitlines(), delimiter="\t")}


def test_the_nuclei_have_tables_and_a_methods_paragraph(place):
    files, notes = write_atlases(STEP, place, BEFORE)
    assert all((place.out / file).is_file() for file in files)
    rows = rows_of(place.out / f"{FOLDER}seg-cit168_desc-dgm_stats.tsv")
    assert "putamen" not in {row["region"] for row in rows.values()}
    red = rows["8"]
    assert (red["region"], red["hemisphere"], red["reliable"]) == ("red_nucleus", "left", "1")
    assert float(red["chi_mean"]) == pytest.approx(0.07, abs=0.03)
    assert float(red["volume_mm3"]) == pytest.approx(451 * head().chi_grid.voxel_volume, rel=0.1)
    assert rows["108"]["reliable"] == "0"
    assert "pallidum" in rows["108"]["reasons"]
    assert any("right nuclei" in note and "not reliable" in note for note in notes)
    lines = (place.out / f"{FOLDER}desc-atlas_agreement.tsv").read_text().splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    poor = [(row["structure"], row["hemisphere"]) for row in rows if row["reliable"] == "0"]
    assert poor == [("pallidum", "right")]
    thalamus = rows_of(place.out / f"{FOLDER}seg-thalamushcp_desc-dgm_stats.tsv")
    labels = read_image(place.out / f"{FOLDER}seg-thalamushcp_dseg.nii.gz").array
    assert int(thalamus["1"]["n_voxels"]) == (labels == 1).sum() > 0
    assert float(thalamus["1"]["chi_mean"]) == pytest.approx(0.03, abs=0.015)
    text = citation(find_series(place.out))
    assert "warped from the template MNI152NLin2009cAsym" in text
    assert {"Avants et al. 2008", "Pauli et al. 2018", "Najdenovska et al. 2018"} <= set(
        re.findall(r"\w+ et al\. \d+", text)
    )


def test_a_series_without_a_susceptibility_map_is_named(place):
    with pytest.raises(InputError, match=r"qsm.*no susceptibility map"):
        write_atlases(STEP, place, BEFORE | {"qsm": MAPS[1:]})
    assert not (place.out / f"{FOLDER}desc-atlas_prov.json").exists()
