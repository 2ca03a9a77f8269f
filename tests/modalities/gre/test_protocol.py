"""Acquisitions against the recommendations for susceptibility mapping."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.outputs.protocols import judge_protocols
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.modalities.gre.protocol import RECOMMENDATION
from qsmengine.report.records import find_series
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState
from tests.report.results import write_session

GOOD = {
    "Phase": True,
    "MRAcquisitionType": "3D",
    "ReadoutPolarity": "monopolar",
    "EchoTimes": [0.005, 0.010, 0.015, 0.020, 0.025],
    "MagneticFieldStrength": 3.0,
    "VoxelSize": [1.0, 1.0, 1.0],
    "Matrix": [192, 224, 160],
}


def lights(**changes):
    facts = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return {check.name: check.light for check in RECOMMENDATION.check(facts)}


def test_a_recommended_acquisition_is_green():
    assert set(lights().values()) == {"green"}


@pytest.mark.parametrize(
    ("changes", "red"),
    [
        ({"Phase": False}, {"phase"}),
        ({"MRAcquisitionType": "2D"}, {"dimensions"}),
        ({"ReadoutPolarity": "bipolar"}, {"readout"}),
        ({"EchoTimes": [0.005, 0.025]}, {"number of echoes"}),
        ({"EchoTimes": [0.005, 0.010, 0.016, 0.025]}, {"echo spacing"}),
        ({"EchoTimes": [0.002, 0.004, 0.006]}, {"last echo"}),
        ({"MagneticFieldStrength": 7.0}, {"last echo"}),
        ({"VoxelSize": [0.5, 0.5, 2.0], "Matrix": [400, 400, 70]}, {"resolution"}),
        ({"VoxelSize": [0.6, 0.6, 1.5], "Matrix": [320, 320, 112]}, {"resolution"}),
        ({"Matrix": [192, 224, 48]}, {"coverage"}),
    ],
    ids=lambda value: "" if isinstance(value, set) else "-".join(value),
)
def test_each_deviation_is_red_where_it_belongs(changes, red):
    found = lights(**changes)
    assert {name for name, light in found.items() if light == "red"} - {"coverage"} | (
        red & {"coverage"}
    ) == red


def test_facts_that_are_missing_are_left_open():
    found = lights(MRAcquisitionType=None, ReadoutPolarity=None, EchoTimes=None, VoxelSize=None)
    open_ = {"dimensions", "readout", "number of echoes", "echo spacing", "last echo", "resolution", "coverage"}
    assert {name for name, light in found.items() if light is None} == open_
    assert {name for name, light in lights(EchoTimes=[0.02]).items() if light is None} == {"echo spacing"}


@pytest.fixture
def dataset(tmp_path):
    """Two sessions with thick slices and one of magnitude only."""
    grid = Grid.from_voxel_size((12, 12, 5), (1.0, 1.0, 4.0))
    for subject, parts in (("a", ("mag", "phase")), ("b", ("mag", "phase")), ("c", ("mag",))):
        for echo, time in enumerate((0.004, 0.012, 0.020), start=1):
            for part in parts:
                path = tmp_path / f"sub-{subject}/anat/sub-{subject}_echo-{echo}_part-{part}_MEGRE.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, np.ones(grid.shape, "f4"), grid)
                facts = {"EchoTime": time, "MagneticFieldStrength": 3, "MRAcquisitionType": "3D"}
                path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(facts))
    return tmp_path


def test_equal_protocols_of_a_dataset_are_judged_once(dataset):
    both, alone = judge_protocols(dataset)
    assert both.series == ["sub-a_MEGRE.nii.gz", "sub-b_MEGRE.nii.gz"]
    assert {check.name for check in both.checks if check.light == "red"} == {"resolution", "coverage"}
    assert both.red
    assert [check.light for check in alone.checks if check.name == "phase"] == ["red"]


def test_command_lists_lights_and_reasons(dataset, capsys):
    assert main(["protocol", str(dataset)]) == 0
    text = capsys.readouterr().out
    assert "sub-a_MEGRE.nii.gz and 1 more: QSM consensus" in text
    assert "green  dimensions: 3D" in text
    assert "-      readout: not recorded (monopolar wanted)" in text
    assert "red    resolution: 1 x 1 x 4 mm (edges of at most 1.5 mm, ratio of at most 2 wanted): large" in text
    assert "red    phase: not saved" in text


def test_unreadable_series_and_other_datasets_are_named(dataset, tmp_path_factory, capsys):
    image = dataset / "sub-a/anat/sub-a_echo-2_part-phase_MEGRE.nii.gz"
    image.write_bytes(b"no image")
    assert any("echo-2_part-phase" in judged.problem and judged.red for judged in judge_protocols(dataset))
    empty = tmp_path_factory.mktemp("empty")
    (empty / "sub-x" / "func").mkdir(parents=True)
    with pytest.raises(InputError, match="no series"):
        judge_protocols(empty)
    assert main(["protocol", str(empty)]) == 3


def test_page_of_a_session_shows_the_acquisition(tmp_path):
    steps = ({"Stage": "phase-offset", "Method": "mcpc3ds", "Parameters": {"bipolar": True}},)
    write_session(tmp_path, "sub-01", steps=steps)
    text = write_session_page(tmp_path, SessionState("sub-01"), find_series(tmp_path)).read_text()
    assert 'Acquisition against the QSM consensus: <span class="red">readout' in text
    assert "phase_offset.bipolar=true" in text
