"""From files to maps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.errors import UsageError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.vfa import read_vfa
from qsmengine.modalities.vfa import session
from qsmengine.modalities.vfa.session import SESSION, VfaRequest
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.vfa.making import GRID, brain, write, write_map

CPU = Device("cpu", threads=1)


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(1))


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """Images, mask and B1 on disk."""
    folder = tmp_path_factory.mktemp("raw")
    mask, b1 = write_map(folder / "mask.nii.gz", made.mask), write_map(folder / "b1.nii.gz", made.b1)
    return tuple(write(folder, made)), mask, b1


@pytest.fixture(scope="module")
def outcome(files, tmp_path_factory):
    images, mask, b1 = files
    return SESSION.run(
        VfaRequest(images, tmp_path_factory.mktemp("out"), mask=mask, b1=(b1,)), load_config(), CPU
    )


def test_a_session_writes_the_true_maps(outcome, made):
    folder = outcome.files[0].parent
    names = {path.name for path in outcome.files}
    maps = [
        "R1map",
        "T1map",
        "desc-vfa_R2starmap",
        "M0map",
        "PDmap",
        "desc-sd_R1map",
        "desc-vfasd_R2starmap",
        "desc-vfabrain_mask",
    ]
    assert {f"vfa_{name}.{end}" for name in maps for end in ("nii.gz", "json")} <= names
    r1 = read_image(folder / "vfa_R1map.nii.gz").array
    np.testing.assert_allclose(r1[made.mask], made.r1[made.mask], rtol=1e-4)
    r2star = read_image(folder / "vfa_desc-vfa_R2starmap.nii.gz").array
    np.testing.assert_allclose(r2star[made.mask], made.r2star[made.mask], rtol=1e-4)
    assert not r1[~made.mask].any()
    b1 = read_image(folder / "vfa_TB1map.nii.gz").array
    np.testing.assert_allclose(b1[made.mask], made.b1[made.mask], rtol=1e-6)
    assert not b1[~made.mask].any()


def test_images_are_read_in_the_box_of_a_small_mask_with_equal_results(made, files, tmp_path, monkeypatch):
    images, _, b1 = files
    small = made.mask.copy()
    small[:8] = small[:, :, 9:] = False
    mask, parts = write_map(tmp_path / "mask.nii.gz", small), []
    monkeypatch.setattr(session, "read_vfa", lambda file, part: parts.append(part) or read_vfa(file, part))

    def maps(out):
        found = SESSION.run(VfaRequest(images, out, mask=mask, b1=(b1,)), load_config(), CPU)
        return {path.name: path.read_bytes() for path in found.files if path.name.endswith(".gz")}

    in_box = maps(tmp_path / "box")
    monkeypatch.setattr(session, "is_worthwhile", lambda *_: False)
    assert in_box == maps(tmp_path / "whole")
    assert [part is None for part in parts] == [False, True]


def test_sidecars_state_units_method_and_acquisition(outcome):
    folder = outcome.files[0].parent
    sidecar = json.loads((folder / "vfa_R1map.json").read_text())
    assert (sidecar["Units"], sidecar["EstimationAlgorithm"]) == ("1/s", "linear")
    assert sidecar["FlipAngle"] == [3.0, 3.0, 20.0, 20.0]
    assert sidecar["RepetitionTimeExcitation"] == [0.028] * 4


def test_percent_is_converted_with_a_note(files, made, tmp_path):
    images, mask, _ = files
    b1 = write_map(tmp_path / "percent.nii.gz", 100 * made.b1)
    outcome = SESSION.run(VfaRequest(images, tmp_path / "out", mask=mask, b1=(b1,)), load_config(), CPU)
    r1 = read_image(tmp_path / "out" / "vfa_R1map.nii.gz").array
    np.testing.assert_allclose(r1[made.mask], made.r1[made.mask], rtol=1e-4)
    assert any("percent" in note for note in outcome.notes)


def test_without_b1_a_note_warns(files, tmp_path):
    images, mask, _ = files
    outcome = SESSION.run(VfaRequest(images, tmp_path / "out", mask=mask), load_config(), CPU, dry_run=True)
    assert any("no B1 map" in note for note in outcome.notes)
    assert not (tmp_path / "out").exists()


def test_one_echo_per_flip_angle_gives_r1_alone(files, made, tmp_path):
    images, mask, b1 = files
    chosen = (images[0], images[2])
    outcome = SESSION.run(VfaRequest(chosen, tmp_path / "out", mask=mask, b1=(b1,)), load_config(), CPU)
    names = {path.name for path in outcome.files}
    assert "vfa_R1map.nii.gz" in names
    assert not any("R2star" in name for name in names)
    r1 = read_image(tmp_path / "out" / "vfa_R1map.nii.gz").array
    np.testing.assert_allclose(r1[made.mask], made.r1[made.mask], rtol=1e-4)


def test_echoes_may_be_volumes_of_one_file(files, made, tmp_path):
    _, mask, b1 = files
    paths = []
    for name, volumes in (("low", slice(0, 2)), ("high", slice(2, 4))):
        paths.append(tmp_path / f"{name}.nii.gz")
        write_image(paths[-1], made.series.signal[..., volumes], GRID)
    request = VfaRequest(
        tuple(paths), tmp_path / "out", flip_angles=(3.0, 20.0), repetition_times=(0.028,),
        echo_times=(0.004, 0.012, 0.004, 0.012), mask=mask, b1=(b1,),
    )  # fmt: skip
    SESSION.run(request, load_config(), CPU)
    r1 = read_image(tmp_path / "out" / "R1map.nii.gz").array
    np.testing.assert_allclose(r1[made.mask], made.r1[made.mask], rtol=1e-4)


def test_values_that_are_not_finite_leave_the_mask(files, made, tmp_path):
    _, mask, b1 = files
    images = write(tmp_path / "raw", made)
    signal = made.series.signal[..., 2].copy()
    signal[10, 10, 6] = np.nan
    write_image(images[2], signal, GRID)
    outcome = SESSION.run(VfaRequest(tuple(images), tmp_path / "out", mask=mask, b1=(b1,)), load_config(), CPU)
    r1 = read_image(tmp_path / "out" / "vfa_R1map.nii.gz").array
    assert r1[10, 10, 6] == 0
    assert np.isfinite(r1).all()
    assert any("NaN or infinite" in note for note in outcome.notes)


def test_unknown_voxels_may_make_the_box_of_the_mask_smaller_than_that_of_b1(made, files, tmp_path):
    _, _, b1 = files
    known = made.mask.copy()
    known[:8] = known[:, :, 9:] = False
    small, lone = known.copy(), (7, *np.argwhere(made.mask[7])[0])
    small[lone] = True
    images, signal = write(tmp_path / "raw", made), made.series.signal[..., 2].copy()
    signal[lone] = np.nan
    write_image(images[2], signal, GRID)
    mask = write_map(tmp_path / "mask.nii.gz", small)
    SESSION.run(VfaRequest(tuple(images), tmp_path / "out", mask=mask, b1=(b1,)), load_config(), CPU)
    r1, found = (read_image(tmp_path / "out" / f"vfa_{name}map.nii.gz").array for name in ("R1", "TB1"))
    np.testing.assert_allclose(r1[known], made.r1[known], rtol=1e-4)
    np.testing.assert_allclose(found[known], made.b1[known], rtol=1e-6)
    assert not r1[~known].any()
    assert not found[~known].any()


def test_b1_is_estimated_on_request(files, made, tmp_path):
    images, mask, _ = files
    config = load_config(settings=["transmit_field.method=minimum_entropy", "transmit_field.order=2"])
    outcome = SESSION.run(VfaRequest(images, tmp_path / "out", mask=mask), config, CPU)
    b1 = read_image(tmp_path / "out" / "vfa_TB1map.nii.gz").array
    assert np.log(b1[made.mask]).mean() == pytest.approx(0.0, abs=1e-3)
    assert not any("no B1 map" in note for note in outcome.notes)
    names = {path.name for path in outcome.files}
    assert {"vfa_R1map.nii.gz", "vfa_TB1map.json"} <= names
    assert not any("apparent" in name for name in names)


def test_a_given_b1_is_preferred_to_an_estimate(files, tmp_path):
    images, mask, b1 = files
    config = load_config(settings=["transmit_field.method=minimum_entropy"])
    request = VfaRequest(images, tmp_path / "out", mask=mask, b1=(b1,))
    outcome = SESSION.run(request, config, CPU, dry_run=True)
    assert [step.section for step in outcome.plan.steps] == ["common_decay", "flip_angles", "proton_density"]
    assert any("a B1 map is given" in note for note in outcome.notes)


def test_earlier_outputs_are_kept_without_force(files, outcome):
    images, mask, b1 = files
    out = outcome.files[0].parent
    with pytest.raises(UsageError, match="exist"):
        SESSION.run(VfaRequest(images, out, mask=mask, b1=(b1,)), load_config(), CPU)
