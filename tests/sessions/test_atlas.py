"""Atlases on the grid of a susceptibility map: files, weights, and reasons."""

import json

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix, write_matrix
from qsmengine.modalities.atlases import AtlasNames
from qsmengine.sessions.atlas import AtlasRequest, bring_atlases
from qsmengine.stages.anatomy.atlas import CIT168, THALAMUS
from qsmengine.stats.labels.tables import ATLASES, DATA, LABEL_TABLES, atlas_image, template_image
from tests.stages.anatomy.template_head import POSE, TO_IMAGE, head, straight, structures, template

NAMES = AtlasNames.of(
    "sub-01/anat/sub-01_Chimap.nii.gz", "sub-01_part-mag_MEGRE.nii.gz", "gre", [CIT168, THALAMUS]
)


@pytest.fixture
def request_of(tmp_path):
    def make(labels, step=1):
        one = head(labels, step=step)
        images = {"chi": (one.chi, one.chi_grid), "T1w": (one.image, one.grid), "dgm": (labels, one.grid)}
        for name, (array, grid) in images.items():
            write_image(tmp_path / f"{name}.nii.gz", array, grid)
        write_matrix(tmp_path / "xfm.txt", TO_IMAGE)
        return AtlasRequest(
            chi=tmp_path / "chi.nii.gz", image=tmp_path / "T1w.nii.gz", structures=tmp_path / "dgm.nii.gz",
            matrix=tmp_path / "xfm.txt", template=template_image(),
            atlases={name: atlas_image(name) for name in ATLASES},
            tables={name: DATA / LABEL_TABLES[name] for name in ATLASES}, wanted=(CIT168, THALAMUS),
        )  # fmt: skip

    return make


def test_the_nuclei_of_the_atlases_lie_where_they_are_in_the_head(request_of, tmp_path):
    found, notes = bring_atlases(request_of(structures()), NAMES, tmp_path / "out", find=straight)
    for atlas in (CIT168, THALAMUS):
        labels, grid = read_image(tmp_path / "out" / NAMES.labels(atlas), dtype=np.int32)[:2]
        wanted = template().atlases[atlas]
        assert grid.matches(head().chi_grid)
        assert set(np.unique(labels)) - {0} == set(found[atlas].volumes)
        kept = np.where(np.isin(wanted, sorted(found[atlas].volumes)), wanted, 0)
        assert (labels == kept).mean() > 0.999
    nuclei = found[CIT168]
    rn = template().atlases[CIT168] == 8
    assert nuclei.volumes[8] == pytest.approx(rn.sum() * head().chi_grid.voxel_volume, rel=1e-3)
    assert nuclei.weights.fractions[8].sum() == pytest.approx(rn.sum(), rel=1e-3)
    assert set(nuclei.problems.values()) == {""}
    assert notes[0].startswith("atlas: overlap with the network, left and right: thalamus 1.00 and 1.00")
    record = json.loads((tmp_path / "out" / NAMES.provenance).read_text())
    assert record["Steps"][0]["Parameters"] == {
        "template": "MNI152NLin2009cAsym",
        "cit168": True,
        "thalamus_hcp": True,
    }
    assert len(record["Check"]) == 8
    np.testing.assert_allclose(read_matrix(tmp_path / "out" / NAMES.matrix), np.linalg.inv(POSE), atol=0.03)


def test_a_missing_structure_names_the_file(request_of, tmp_path):
    labels = structures()
    labels[labels == 10] = 0
    with pytest.raises(InputError, match=r"dgm\.nii\.gz.*no left thalamus"):
        bring_atlases(request_of(labels, 2), NAMES, tmp_path / "out", find=straight)
    assert not (tmp_path / "out").exists()
