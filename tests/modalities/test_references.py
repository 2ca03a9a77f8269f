"""Images that are registered with the T1-weighted image: every modality's lies on the grid of its maps."""

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.work.tasks import Place, task_of
from qsmengine.modalities.registry import all_modalities, modality_of
from qsmengine.phantom import virtual_head
from qsmengine.phantom.bids import write_bids
from qsmengine.pipeline.configuration.config import load_config, validate

VOXEL = (9.0, 9.0, 9.0)


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids")
    drawings = [m.drawing for m in all_modalities() if m.reference is not None and m.drawing is not None]
    write_bids(virtual_head(voxel_size=VOXEL, modalities=drawings, echo_times=(0.005, 0.015)), folder, "01")
    return folder


@pytest.mark.parametrize("kind", [m.step for m in all_modalities() if m.reference is not None])
def test_reference_shows_the_head_on_the_grid_of_the_maps(bids, tmp_path, kind):
    (session,) = plan_cohort(bids, tmp_path / "out", load_config(preset="fast"), steps=[kind]).sessions
    (step,) = session.steps
    modality = modality_of(kind)
    assert modality is not None
    assert modality.reference is not None
    config = validate(dict(step.settings), None, modality.sections_with(sorted(step.inputs)))
    task = task_of(step, Place(bids, tmp_path / "out", tmp_path / "scratch", cpu(1)))
    found = modality.reference.read(task, config)
    assert found.array.shape == found.grid.shape
    assert found.grid.voxel_size == pytest.approx(VOXEL, abs=1e-5)
    inside = found.array > 0.3 * np.percentile(found.array, 99)
    centre = np.argwhere(inside).mean(axis=0) / np.asarray(found.grid.shape)
    assert 0.1 < inside.mean() < 0.7
    np.testing.assert_allclose(centre, 0.5, atol=0.15)
