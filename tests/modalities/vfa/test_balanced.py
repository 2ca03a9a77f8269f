"""R2 from balanced steady states of the same session."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from qsmengine import reconstruct_vfa
from qsmengine.backend.device import Device
from qsmengine.data import BalancedSeries
from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image
from qsmengine.modalities.vfa.session import SESSION, VfaRequest
from qsmengine.phantom.bssfp import BalancedSettings, bssfp_signal
from qsmengine.phantom.vfa import SIGNAL_SCALE
from qsmengine.pipeline.configuration.config import load_config
from tests.badinput.checking import check
from tests.modalities.vfa.making import GRID, SETTINGS, brain, write, write_map

CPU = Device("cpu", threads=1)
TWO = BalancedSettings((15.0, 45.0), (180.0, 180.0))
ONE = BalancedSettings((35.0,), (180.0,))
FOUR = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 270.0))


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(1))


@pytest.fixture(scope="module")
def truth():
    """R2 [1/s] and off-resonance [Hz] (x, y, z)."""
    rng = np.random.default_rng(2)
    return rng.uniform(8, 25, GRID.shape).astype(np.float32), rng.uniform(-70, 70, GRID.shape).astype(
        np.float32
    )


def images(made, truth, settings):
    amplitude = np.where(made.mask, np.float32(SIGNAL_SCALE), np.float32(1))
    return bssfp_signal(
        r1=made.r1, r2=truth[0], amplitude=amplitude, b1=made.b1, frequency=truth[1], settings=settings
    )


def write_balanced(folder, signal, settings, **fields):
    """Write magnitudes and phases of every image; return their paths."""
    paths = {"mag": [], "phase": []}
    for volume, flip in enumerate(settings.flip_angles):
        for part, array in (("mag", np.abs), ("phase", np.angle)):
            path = write_map(
                folder / f"bssfp_{part}_{volume}.nii.gz", array(signal[..., volume]).astype(np.float32)
            )
            paths[part].append(path)
            tr = settings.repetition_time
            sidecar = {"FlipAngle": flip, "RepetitionTime": tr, "EchoTime": tr / 2, **fields}
            text = json.dumps({key: value for key, value in sidecar.items() if value is not None})
            path.with_name(f"bssfp_{part}_{volume}.json").write_text(text)
    return paths


@pytest.fixture
def files(made, truth, tmp_path):
    """Spoiled echoes, mask, B1 and field map [Hz] on disk."""
    raw = tmp_path / "raw"
    field = write_map(tmp_path / "field.nii.gz", truth[1])
    (tmp_path / "field.json").write_text('{"Units": "Hz"}')
    return {
        "images": tuple(write(raw, made, MagneticFieldStrength=1.5)), "out": tmp_path / "out",
        "mask": write_map(tmp_path / "mask.nii.gz", made.mask), "fieldmap": field,
        "b1": (write_map(tmp_path / "b1.nii.gz", made.b1),),
    }  # fmt: skip


@pytest.mark.parametrize("settings", [ONE, TWO])
def test_magnitudes_and_a_field_map_give_r2_outside_bands(made, truth, files, tmp_path, settings):
    paths = write_balanced(tmp_path, images(made, truth, settings), settings)
    outcome = SESSION.run(VfaRequest(**files, bssfp=tuple(paths["mag"])), load_config(), CPU)
    r2 = read_image(tmp_path / "out" / "vfa_desc-bssfp_R2map.nii.gz").array
    turns = np.mod(truth[1] * settings.repetition_time, 1.0)
    inside, banded = made.mask, (turns > 0.3) & (turns < 0.7)
    np.testing.assert_allclose(r2[inside & ~banded], truth[0][inside & ~banded], rtol=1e-4)
    assert not r2[banded].any()
    share = 100 * banded[inside].mean()
    assert (
        f"R2 is unknown, and 0, in {share:.1f} % of the voxels: bands of the balanced images" in outcome.notes
    )
    assert (tmp_path / "out" / "vfa_desc-bssfpsd_R2map.nii.gz").is_file()


def test_phases_at_four_increments_need_no_field_map(made, truth, files, tmp_path):
    paths = write_balanced(tmp_path, images(made, truth, FOUR), FOUR)
    request = VfaRequest(
        **{**files, "fieldmap": None}, bssfp=tuple(paths["mag"]), bssfp_phase=tuple(paths["phase"]),
        bssfp_increments=FOUR.increments,
    )  # fmt: skip
    outcome = SESSION.run(request, load_config(), CPU)
    assert [step.method.name for step in outcome.plan.steps][-1] == "ellipse"
    r2 = read_image(tmp_path / "out" / "vfa_desc-bssfp_R2map.nii.gz").array
    np.testing.assert_allclose(r2[made.mask], truth[0][made.mask], rtol=1e-4)
    assert (tmp_path / "out" / "vfa_desc-bssfpsd_R2map.nii.gz").is_file()


def test_arrays_give_r2(made, truth):
    flips, repetitions, echoes = SETTINGS.tables
    tr = TWO.repetition_time
    field = truth[1] / 127.73
    signal = np.abs(images(made, truth, TWO))
    balanced = BalancedSeries(signal, TWO.flip_angles, TWO.increments, (tr,) * 2, (tr / 2,) * 2, field=field)
    options = {
        "flip_angles": flips, "repetition_times": repetitions, "echo_times": echoes, "mask": made.mask,
        "b1": made.b1, "device": "cpu",
    }  # fmt: skip
    result = reconstruct_vfa(made.series.signal, GRID, balanced=balanced, **options)
    seen = result.r2 > 0
    assert seen[made.mask].mean() > 0.6
    np.testing.assert_allclose(result.r2[seen], truth[0][seen], rtol=1e-4)
    with pytest.raises(InputError, match="off-resonance"):
        reconstruct_vfa(made.series.signal, GRID, balanced=replace(balanced, field=None), **options)
    with pytest.raises(InputError, match="1 increments for 2 volumes"):
        replace(balanced, increments=(180.0,))
    with pytest.raises(InputError, match="field has shape"):
        replace(balanced, field=field[1:])


def test_an_ellipse_of_several_flip_angles_is_refused(made, truth):
    flips, repetitions, echoes = SETTINGS.tables
    signal = images(made, truth, FOUR)
    tables = (FOUR.increments, (0.006,) * 4, (0.003,) * 4)
    balanced = BalancedSeries(np.abs(signal), (40.0, 40.0, 40.0, 30.0), *tables, phase=np.angle(signal))
    with pytest.raises(InputError, match="flip angles of the phase increments differ"):
        reconstruct_vfa(
            made.series.signal, GRID, flip_angles=flips, repetition_times=repetitions, echo_times=echoes,
            mask=made.mask, balanced=balanced, device="cpu",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "unit", "options", "words"),
    [
        ({}, "Hz", (), ("--fieldmap",)),
        ({"FlipAngle": None}, "Hz", ("--fieldmap",), ("FlipAngle", "not found")),
        ({"RepetitionTime": None}, "Hz", ("--fieldmap",), ("RepetitionTimeExcitation", "not found")),
        ({}, "rad/s", ("--fieldmap",), ("Units", "Hz or ppm")),
        ({}, "Hz", ("--fieldmap", "--bssfp-increments"), ("--bssfp-increments", "1 increments for 2 images")),
        ({"RepetitionTime": 6.0}, "Hz", ("--fieldmap",), ("RepetitionTime", "balanced sequences")),
    ],
)
def test_balanced_images_that_cannot_be_used_are_refused_in_one_line(
    made, truth, files, tmp_path, capsys, fields, unit, options, words
):
    paths = write_balanced(tmp_path, images(made, truth, TWO), TWO, **fields)
    (tmp_path / "field.json").write_text(json.dumps({"Units": unit}))
    values = {"--fieldmap": [str(files["fieldmap"])], "--bssfp-increments": ["180"]}
    more = [word for option in options for word in (option, *values[option])]
    argv = [
        "vfa", "--magnitude", *map(str, files["images"]), "--mask", str(files["mask"]), "--bssfp",
        *map(str, paths["mag"]), *more, "--out", str(files["out"]), "--device", "cpu",
    ]  # fmt: skip
    check(argv, files["out"], capsys, 3, *words)
