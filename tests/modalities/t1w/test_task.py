"""Anatomy as a step of a cohort's session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from qsmengine.backend.device import resolve_device
from qsmengine.data import Map
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.nifti import write_image
from qsmengine.modalities.modality import Opening, Task
from qsmengine.modalities.registry import modality_of
from qsmengine.modalities.t1w import run as run_module
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.t1w.making import made

NAME = "sub-01_T1w.nii.gz"


@pytest.fixture
def modality():
    found = modality_of("anatomy")
    assert found is not None
    return found


def test_a_task_writes_the_files_that_its_plan_names(modality, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "segment", lambda *_: made().segmentation)
    head, image, out, config = made(), tmp_path / NAME, tmp_path / "out", load_config()
    lesions = tmp_path / "sub-01_label-lesion_mask.nii.gz"
    write_image(image, head.image, head.grid)
    write_image(lesions, head.lesions.astype(np.uint8), head.grid)
    opened = modality.open({"t1w": (image,)}, Opening(config))
    assert not opened.problems
    plan = modality.plan(config, opened.grid, opened.volumes, frozenset())
    task = Task({"t1w": (image,), "lesions": (lesions,)}, out, NAME)
    outcome = modality.reconstruct(task, config, resolve_device("cpu"), False, None)
    expected = modality.files(plan, BidsName.parse(NAME))
    assert {path.relative_to(out) for path in outcome.files} == set(expected)
    assert all(path.exists() for path in outcome.files)
    names, values = (out / "sub-01" / "anat" / "sub-01_volumes.tsv").read_text().splitlines()
    row = dict(zip(names.split("\t"), values.split("\t"), strict=True))
    assert float(row["lesions"]) == pytest.approx(head.lesions.sum() * head.grid.voxel_volume, rel=1e-3)


def test_an_image_that_cannot_be_segmented_is_a_problem_of_its_session(modality, tmp_path):
    image = tmp_path / NAME
    write_image(image, np.ones((40, 40, 12), np.float32), Grid((40, 40, 12), np.diag([1, 1, 6.0, 1]), 3.0))
    (problem,) = modality.open({"t1w": (image,)}, Opening(load_config())).problems
    assert NAME in problem
    assert "at least 16" in problem


def test_small_runs_use_the_network_and_the_tissue_classes(modality, device):
    made_head = made()
    series = SimpleNamespace(images={"T1w": made_head.image}, placement=SimpleNamespace(grid=made_head.grid))
    truth = {name.upper(): Map(made_head.parts[name], "1", made_head.grid) for name in ("gm", "wm", "csf")}
    runs = modality.warm_up(SimpleNamespace(series=lambda _: series, truth=truth), device)
    assert not runs["brain structures"]().any()
    total = sum(getattr(runs["tissue classes"](), name).sum() for name in ("gm", "wm", "csf"))
    assert float(total) == pytest.approx(
        (np.sum([t.array for t in truth.values()], axis=0) > 0.5).sum(), rel=1e-3
    )
    assert modality.warm_up(SimpleNamespace(series=lambda _: None), device) == {}
