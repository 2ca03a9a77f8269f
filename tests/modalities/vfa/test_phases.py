"""Susceptibility and field from the phases of all flip angles."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.data import GreSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.io.nifti import read_image
from qsmengine.modalities.vfa.phases import combined_echoes
from qsmengine.phantom import virtual_head
from qsmengine.phantom.vfa_drawing import DRAWING
from qsmengine.units import hz_per_ppm

GRID = Grid((30, 30, 30), np.eye(4), 3.0)
TIMES = (0.005, 0.02)
FAST = ("--preset", "fast", "--set", "inversion=tkd", "--set", "transmit_field=none")


def series(rng, sizes, field, offsets, sigma, times=TIMES):
    """Echoes of flip angles with magnitudes `sizes` and phase `offsets`, field [Hz], and noise."""
    made = []
    for size, offset in zip(sizes, offsets, strict=True):
        clean = np.stack([size * np.exp(1j * (offset + 2 * np.pi * field * time)) for time in times], axis=-1)
        noisy = clean + sigma * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape))
        made.append(GreSeries(np.abs(noisy).astype("f4"), np.angle(noisy).astype("f4"), times, GRID))
    return made


def slope(one):
    """Field [Hz] of two echoes."""
    return np.angle(np.exp(1j * (one.phase[..., 1] - one.phase[..., 0]))) / (2 * np.pi * (TIMES[1] - TIMES[0]))


def test_phases_are_weighted_by_their_precision():
    rng = np.random.default_rng(1)
    field = rng.uniform(-20, 20, GRID.shape)
    parts = series(rng, (10.0, 30.0), field, (0.3, -2.0), 1.0)
    combined = combined_echoes(parts)
    errors = [(slope(one) - field).std() for one in (*parts, combined)]
    assert errors[2] == pytest.approx((errors[0] ** -2 + errors[1] ** -2) ** -0.5, rel=0.03)
    truth = np.exp(1j * (0.3 + 2 * np.pi * field * TIMES[1]))
    late = [np.angle(np.exp(1j * one.phase[..., 1]) / truth) for one in (parts[0], combined)]
    assert late[1].std() == pytest.approx(1 / np.hypot(10.0, 30.0), rel=0.1)
    assert late[0].std() == pytest.approx(1 / 10.0, rel=0.1)
    assert combined.magnitude.mean() == pytest.approx(np.hypot(10.0, 30.0), rel=0.01)


def test_without_noise_the_phases_are_those_of_the_first_flip_angle():
    rng = np.random.default_rng(2)
    field, sizes = rng.uniform(-20, 20, GRID.shape), rng.uniform(5, 50, (3, *GRID.shape))
    parts = series(rng, sizes, field, (1.0, -2.5, 3.0), 0.0)
    turn = np.exp(1j * (combined_echoes(parts).phase - parts[0].phase))
    np.testing.assert_allclose(turn, 1.0, atol=1e-5)


def test_different_echo_times_and_grids_are_refused():
    rng, field = np.random.default_rng(3), np.zeros(GRID.shape)
    one, other = series(rng, (1.0,), field, (0.0,), 0.1), series(rng, (1.0,), field, (0.0,), 0.1, (0.004, 0.02))
    with pytest.raises(InputError, match="different echo times"):
        combined_echoes([*one, *other])


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=(DRAWING,), seed=6)


def files(head, folder):
    """Magnitudes, phases and mask on disk."""
    images = head.series("vfa").series
    field, paths = hz_per_ppm(3.0) * head.truth["total_field"].array, {"mag": [], "phase": []}
    folder.mkdir()
    for volume, (flip, time) in enumerate(zip(images.flip_angles, images.echo_times, strict=True)):
        phase = np.angle(np.exp(1j * (0.1 * flip + 2 * np.pi * field * time))).astype(np.float32)
        sidecar = {
            "FlipAngle": flip, "RepetitionTimeExcitation": images.repetition_times[volume], "EchoTime": time,
            "MagneticFieldStrength": 3.0,
        }  # fmt: skip
        for part, array in (("mag", images.signal[..., volume]), ("phase", phase)):
            path = folder / f"sub-1_flip-{int(flip)}_echo-{volume}_part-{part}_VFA.nii.gz"
            write_image(path, array, head.grid)
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
            paths[part].append(str(path))
    write_image(folder / "mask.nii.gz", head.mask, head.grid)
    return paths, str(folder / "mask.nii.gz")


def test_the_command_writes_susceptibility_and_field_of_the_same_images(head, tmp_path):
    paths, mask = files(head, tmp_path / "raw")
    argv = ["vfa", "--magnitude", *paths["mag"], "--phase", *paths["phase"], "--mask", mask, *FAST]
    assert main([*argv, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "sub-1" / "anat"
    chi = read_image(folder / "sub-1_desc-vfa_Chimap.nii.gz").array
    field = read_image(folder / "sub-1_desc-vfa_fieldmap.nii.gz").array
    seen = chi != 0
    assert seen[head.mask].mean() > 0.6
    assert np.corrcoef(chi[seen], head.truth["chi"].array[seen])[0, 1] > 0.6
    wanted = hz_per_ppm(3.0) * head.truth["total_field"].array
    assert np.median(np.abs(field - wanted)[seen]) < 0.5
    assert (folder / "sub-1_R1map.nii.gz").is_file()


def test_numbers_of_phases_that_do_not_match_are_refused(head, tmp_path, capsys):
    paths, mask = files(head, tmp_path / "raw")
    argv = ["vfa", "--magnitude", *paths["mag"], "--phase", *paths["phase"][:3], "--mask", mask, *FAST]
    assert main([*argv, "--device", "cpu", "--out", str(tmp_path / "out")]) == 3
    assert "3 phase images for 4 magnitudes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
