"""Transmit field of a session: found in ``fmap/``, computed from images, placed on the grid of a series."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.io.inheritance import Folders
from qsmengine.modalities.transmit import find_b1, load_b1
from qsmengine.pipeline.configuration.config import load_config

CPU, CONFIG, RESAMPLED = (
    Device("cpu", threads=1),
    load_config(),
    load_config(settings=["input.resample_b1=true"]),
)
GRID = Grid((12, 10, 8), np.diag([2.0, 2.0, 2.0, 1.0]), 3.0)
COARSE = Grid((7, 6, 5), np.diag([4.0, 4.0, 4.0, 1.0]), 3.0)


def field(grid):
    """A field that is linear in scanner coordinates (x, y, z)."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    place = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return (0.9 + place @ np.array([0.01, -0.005, 0.004])).astype(np.float32)


def put(folder, name, array, grid=GRID, **sidecar):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.nii.gz"
    write_image(path, array, grid)
    (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return path


def afi(folder, grid=GRID, angle=60.0, ratio=5.0, swap=False):
    """Images of actual flip-angle imaging; `swap` exchanges their labels."""
    cosine = np.cos(np.radians(angle) * field(grid))
    images = (100 * np.ones(grid.shape), 100 * (1 + ratio * cosine) / (ratio + cosine))
    order = (2, 1) if swap else (1, 2)
    return [
        put(folder, f"sub-1_acq-tr{label}_TB1AFI", image, grid, FlipAngle=angle, RepetitionTime=time)
        for label, image, time in zip(order, images, (0.02, 0.02 * ratio), strict=True)
    ]


def search(session, config=CONFIG, grid=GRID):
    return find_b1(session / "anat" / "sub-1_flip-1_VFA.nii.gz", grid, config, Folders())


def test_a_session_without_field_maps_has_none(tmp_path):
    assert search(tmp_path / "sub-1") == ((), (), ())


def test_a_map_is_preferred_to_images(tmp_path):
    session = tmp_path / "sub-1"
    images = afi(session / "fmap")
    assert set(search(session).files) == set(images)
    b1 = put(session / "fmap", "sub-1_TB1map", field(GRID))
    put(session / "fmap", "sub-2_TB1map", field(GRID))
    found = search(session)
    assert (found.files, found.problems) == ((b1,), ())
    assert str(b1) in found.notes[0]


def test_several_maps_are_a_problem_unless_one_names_the_series(tmp_path):
    session = tmp_path / "sub-1"
    put(session / "fmap", "sub-1_acq-a_TB1map", field(GRID), IntendedFor=["anat/sub-1_flip-1_MPM.nii.gz"])
    for name in ("b", "c"):
        put(session / "fmap", f"sub-1_acq-{name}_TB1map", field(GRID))
    (problem,) = search(session).problems
    assert "acq-b_TB1map" in problem
    assert "IntendedFor" in problem
    put(session / "fmap", "sub-1_acq-c_TB1map", field(GRID), IntendedFor="bids::sub-1/anat/sub-1_MESE.nii.gz")
    assert [path.name for path in search(session).files] == ["sub-1_acq-b_TB1map.nii.gz"]


@pytest.mark.parametrize("swap", [False, True])
def test_actual_flip_angle_imaging_gives_the_field_whatever_the_labels(tmp_path, swap):
    images = afi(tmp_path / "fmap", swap=swap)
    b1 = load_b1(images, GRID, CONFIG, CPU)
    np.testing.assert_allclose(b1.ratio, field(GRID), rtol=1e-3)
    assert "actual flip-angle imaging (60 degrees, ratio 5)" in b1.notes[0]


def test_the_double_angle_gives_the_field(tmp_path):
    angle = np.radians(60.0) * field(GRID)
    images = [
        put(tmp_path, f"sub-1_flip-{k}_TB1DAM", 100 * np.sin(k * angle), FlipAngle=60.0 * k) for k in (2, 1)
    ]
    b1 = load_b1(images, GRID, CONFIG, CPU)
    np.testing.assert_allclose(b1.ratio, field(GRID), rtol=1e-3)
    assert "double angle (60 and 120 degrees)" in b1.notes[0]


def test_another_grid_is_refused_or_interpolated_on_request(tmp_path):
    session = tmp_path / "sub-1"
    images = afi(session / "fmap", COARSE)
    (problem,) = search(session).problems
    assert "input.resample_b1=true" in problem
    with pytest.raises(InputError, match="resample_b1"):
        load_b1(images, GRID, CONFIG, CPU)
    assert search(session, RESAMPLED).problems == ()
    b1 = load_b1(images, GRID, RESAMPLED, CPU)
    np.testing.assert_allclose(b1.ratio, field(GRID), rtol=2e-3)
    assert "interpolated" in b1.notes[-1]


def test_interpolation_ignores_voxels_without_b1(tmp_path):
    coarse = field(COARSE)
    coarse[0] = 0
    b1 = load_b1([put(tmp_path, "b1", coarse, COARSE)], GRID, RESAMPLED, CPU).ratio
    assert (b1[0] == 0).all()
    np.testing.assert_allclose(b1[2:], field(GRID)[2:], rtol=1e-5)


@pytest.mark.parametrize(
    ("angles", "times", "words"),
    [
        ((50.0, 70.0), (0.02, 0.1), "neither equal"),
        ((60.0, 60.0), (0.02, 0.02), "two different ones"),
        ((60.0, None), (0.02, 0.1), "FlipAngle"),
        ((60.0, 60.0), (0.02, None), "RepetitionTime"),
    ],
)
def test_images_that_belong_to_no_method_are_refused(tmp_path, angles, times, words):
    images = []
    for number, (angle, time) in enumerate(zip(angles, times, strict=True)):
        sidecar = {"FlipAngle": angle, "RepetitionTime": time}
        known = {key: value for key, value in sidecar.items() if value is not None}
        images.append(put(tmp_path, f"sub-1_acq-{number}_TB1AFI", np.ones(GRID.shape), **known))
    with pytest.raises(InputError, match=words):
        load_b1(images, GRID, CONFIG, CPU)


def test_images_on_different_grids_and_three_images_are_refused(tmp_path):
    one, other = afi(tmp_path / "a")[0], afi(tmp_path / "b", replace(GRID, shape=(12, 10, 7)))[1]
    with pytest.raises(InputError, match="shape"):
        load_b1([one, other], GRID, CONFIG, CPU)
    with pytest.raises(InputError, match="3 images"):
        load_b1([one, other, one], GRID, CONFIG, CPU)
