"""Phases and balanced steady states of a session in a dataset."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io import write_image
from qsmengine.io.nifti import read_image
from qsmengine.phantom import virtual_head
from qsmengine.phantom.bssfp import BalancedSettings, bssfp_signal
from qsmengine.phantom.vfa import SIGNAL_SCALE
from qsmengine.phantom.vfa_drawing import DRAWING
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.units import hz_per_ppm

FAST = ("inversion=tkd", "transmit_field=none")
TWO = BalancedSettings((15.0, 45.0), (180.0, 180.0), 0.006)
FOUR = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 270.0), 0.006)


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=(DRAWING,), seed=6)


def put(folder, name, array, head, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}.nii.gz", np.asarray(array, np.float32), head.grid)
    (folder / f"{name}.json").write_text(json.dumps(fields))


def write_session(root, head, *, phases=True, late=0.0, strength=True):
    """Write magnitudes, and phases, of every flip angle; `late` shifts the echoes of the last one [s]."""
    (root / "dataset_description.json").parent.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))
    images = head.series("vfa").series
    field = hz_per_ppm(3.0) * head.truth["total_field"].array
    for volume, (flip, time) in enumerate(zip(images.flip_angles, images.echo_times, strict=True)):
        angle = np.angle(np.exp(1j * (0.1 * flip + 2 * np.pi * field * time)))
        sidecar = {
            "FlipAngle": flip, "RepetitionTimeExcitation": images.repetition_times[volume],
            "EchoTime": time + (late if flip == max(images.flip_angles) else 0.0),
            **({"MagneticFieldStrength": 3.0} if strength else {}),
        }  # fmt: skip
        for part, array in (("mag", images.signal[..., volume]), ("phase", angle)):
            if part == "mag" or phases:
                name = f"sub-1_flip-{int(flip)}_echo-{volume % 2 + 1}_part-{part}_VFA"
                put(root / "sub-1" / "anat", name, array, head, **sidecar)
    put(root / "sub-1" / "fmap", "sub-1_TB1map", head.series("vfa").b1, head, Units="1")


def write_balanced(root, head, settings):
    """Write magnitudes and phases of balanced steady states, their increments in the names."""
    field, mask = hz_per_ppm(3.0) * head.truth["total_field"].array, head.mask
    made = bssfp_signal(
        r1=np.where(mask, head.truth["r1"].array, 1).astype("f4"), r2=np.full(mask.shape, 14, "f4"),
        amplitude=np.where(mask, SIGNAL_SCALE * head.truth["m0"].array, 1).astype("f4"),
        b1=head.series("vfa").b1, frequency=field, settings=settings,
    )  # fmt: skip
    for volume, (flip, increment) in enumerate(zip(settings.flip_angles, settings.increments, strict=True)):
        name = f"sub-1_flip-{int(flip)}_inc-{int(increment)}"
        fields = {"FlipAngle": flip, "RepetitionTime": 0.006, "EchoTime": 0.003}
        for part, array in (("mag", np.abs), ("phase", np.angle)):
            image = array(made[..., volume])
            put(root / "sub-1" / "anat", f"{name}_part-{part}_bSSFP", image, head, **fields)


def planned(root, out):
    plan = plan_cohort(root, out, load_config(preset="fast", settings=FAST))
    (step,) = (step for session in plan.sessions for step in session.steps)
    return plan, step


def test_a_session_gives_susceptibility_and_r2_as_the_command_does(head, tmp_path):
    root, out = tmp_path / "bids", tmp_path / "out"
    write_session(root, head)
    write_balanced(root, head, TWO)
    plan, step = planned(root, out)
    assert "inversion" in step.settings
    assert step.problems == ()
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    anat = root / "sub-1" / "anat"
    parts = {part: sorted(map(str, anat.glob(f"*_part-{part}_VFA.nii.gz"))) for part in ("mag", "phase")}
    argv = ["vfa", "--magnitude", *parts["mag"], "--phase", *parts["phase"], "--preset", "fast"]
    argv += ["--bssfp", *sorted(map(str, anat.glob("*_part-mag_bSSFP.nii.gz")))]
    argv += ["--b1", str(root / "sub-1" / "fmap" / "sub-1_TB1map.nii.gz"), "--device", "cpu"]
    argv += [word for one in FAST for word in ("--set", one)]
    assert main([*argv, "--out", str(tmp_path / "alone")]) == 0
    for name in ("R1map", "desc-vfa_Chimap", "desc-vfa_fieldmap", "desc-bssfp_R2map"):
        found, alone = (
            read_image(folder / "sub-1" / "anat" / f"sub-1_{name}.nii.gz").array
            for folder in (out, tmp_path / "alone")
        )
        np.testing.assert_array_equal(found, alone)
        assert (found != 0).sum() > 0.5 * head.mask.sum()


def test_settings_of_the_field_concern_sessions_with_phases_alone(head, tmp_path):
    write_session(tmp_path / "bids", head, phases=False)
    _, step = planned(tmp_path / "bids", tmp_path / "out")
    assert "inversion" not in step.settings
    assert "flip_angles" in step.settings
    assert not any("Chimap" in name for name in step.outputs)


def test_images_that_cannot_be_used_leave_the_others_as_they_are(head, tmp_path):
    root = tmp_path / "bids"
    write_session(root, head, late=1e-3)
    write_balanced(root, head, TWO)
    _, step = planned(root, tmp_path / "out")
    assert step.problems == ()
    text = "; ".join(step.notes)
    assert "different echo times; their phases cannot be combined; phases are not used" in text
    assert "R2 needs the off-resonance: phases of the flip angles, or one fieldmap in fmap/" in text
    assert not any("Chimap" in name or "bssfp" in name for name in step.outputs)


def test_a_field_map_of_the_session_serves_balanced_magnitudes(head, tmp_path):
    root = tmp_path / "bids"
    write_session(root, head, phases=False)
    write_balanced(root, head, TWO)
    field = hz_per_ppm(3.0) * head.truth["total_field"].array
    put(root / "sub-1" / "fmap", "sub-1_fieldmap", field, head, Units="Hz")
    plan, step = planned(root, tmp_path / "out")
    assert step.inputs["fieldmap"] == ("sub-1/fmap/sub-1_fieldmap.nii.gz",)
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    r2 = read_image(tmp_path / "out" / "sub-1" / "anat" / "sub-1_desc-bssfp_R2map.nii.gz").array
    turns = np.mod(field * TWO.repetition_time, 1.0)
    inner = head.mask & (r2 > 0) & ((turns < 0.25) | (turns > 0.75))
    assert inner.sum() > 0.7 * head.mask.sum()
    assert np.median(r2[inner]) == pytest.approx(14.0, rel=0.02)


def test_four_increments_need_no_field_map(head, tmp_path):
    root = tmp_path / "bids"
    write_session(root, head, phases=False, strength=False)
    write_balanced(root, head, FOUR)
    _, step = planned(root, tmp_path / "out")
    assert len(step.inputs["cycled_phase"]) == 4
    assert any("desc-bssfp_R2map" in name for name in step.outputs)
    uneven = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 200.0), 0.006)
    unlike = BalancedSettings((40.0, 40.0, 40.0, 30.0), FOUR.increments, 0.006)
    for number, (settings, words) in enumerate(((uneven, "evenly spaced"), (unlike, "flip angles"))):
        other = tmp_path / f"other{number}"
        write_session(other, head, phases=False)
        write_balanced(other, head, settings)
        _, step = planned(other, tmp_path / "out")
        assert words in "; ".join(step.notes)
        assert not any("bssfp" in name for name in step.outputs)
