"""Atlases on susceptibility maps, as planned."""

import pytest

from qsmengine.cohort.plan import build, sessions
from qsmengine.errors import UsageError
from qsmengine.grid import Grid

GRID = Grid.from_voxel_size((16, 17, 18), (3.0, 3.0, 3.0))


@pytest.fixture
def package(monkeypatch):
    """Function that says whether the package antspyx is installed."""

    def say(installed):
        for module in (build, sessions):
            monkeypatch.setattr(module, "available", lambda: installed)

    say(True)
    return say


@pytest.fixture
def scanned(dataset):
    """Gradient echoes, diffusion and a T1-weighted image of one session; another one without."""
    dataset.gre("01", grid=GRID)
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=GRID)
    dataset.tables(dataset.image("sub-01/dwi/sub-01_dwi.nii.gz", volumes=8, grid=GRID), 8)
    dataset.gre("02", grid=GRID)
    return dataset


def test_the_series_with_a_susceptibility_map_has_a_step(package, scanned, plan):
    first, second = plan(atlases=["cit168", "thalamus-hcp", "cit168"]).sessions
    (step,) = [step for step in first.steps if step.kind == "atlas"]
    assert step.name == "atlas_qsm"
    assert step.after == ("qsm", "anatomy", "registration_qsm")
    assert step.options["atlases"] == ["cit168", "thalamus-hcp"]
    wanted = ("seg-cit168_dseg.nii.gz", "seg-thalamushcp_desc-dgm_stats.tsv", "desc-atlas_agreement.tsv",
              "desc-atlas_prov.json", "from-MNI152NLin2009cAsym_to-gre_mode-image_xfm.nii.gz")  # fmt: skip
    assert {f"sub-01/anat/sub-01_{name}" for name in wanted} <= set(step.outputs)
    assert len(set(step.outputs)) == len(step.outputs)
    assert not set(step.outputs) & {name for one in first.steps if one is not step for name in one.outputs}
    assert not any(step.kind == "atlas" for step in second.steps)
    (note,) = [note for note in second.notes if note.startswith("atlas: ")]
    assert "T1-weighted image" in note


def test_without_the_option_there_is_no_such_step(package, scanned, plan):
    made = plan()
    assert not any(step.kind == "atlas" for session in made.sessions for step in session.steps)
    assert not any("atlas" in note for session in made.sessions for note in (*session.notes, *made.notes))


def test_a_missing_package_is_said_once_and_the_rest_works(package, scanned, plan):
    package(False)
    made = plan(atlases=["cit168"])
    assert {step.kind for session in made.sessions for step in session.steps} == {"qsm", "dti", "anatomy"}
    (note,) = [note for note in made.notes if note.startswith("atlas: ")]
    assert "antspyx" in note


def test_an_unknown_atlas_and_steps_without_registration_are_refused(package, scanned, plan):
    with pytest.raises(UsageError, match="cit168"):
        plan(atlases=["cit618"])
    with pytest.raises(UsageError, match="registration"):
        plan(atlases=["cit168"], steps=["qsm", "anatomy"])
    (session, _) = plan(atlases=["cit168"], steps=["qsm", "anatomy", "registration"]).sessions
    assert [step.name for step in session.steps] == ["qsm", "anatomy", "registration_qsm", "atlas_qsm"]
