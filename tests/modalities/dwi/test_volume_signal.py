"""Volumes whose signal contradicts the table: maps appended as b = 0, empty volumes, a shifted table."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from qsmengine.cli.main import main
from tests.stages.diffusion.tensors import gradient_table, random_tensors, signals

SHAPE = (8, 7, 6)


@pytest.fixture
def fit(tmp_path, rng, capsys):
    """Fit a series of 3 volumes with b = 0 and 12 with b = 1000 after a change; return code and messages."""
    b, g = gradient_table(rng, 12, (1000.0,), b0=3)
    count = int(np.prod(SHAPE))
    clean = signals(random_tensors(rng, count), rng.uniform(900, 1100, count), b, g).reshape(*SHAPE, -1)

    def run(change, *more):
        signal, b_values, vectors = change(clean.astype(np.float32), b.copy(), g.copy())
        nib.save(nib.Nifti1Image(signal, np.diag([-2.0, 2.0, 2.0, 1.0])), tmp_path / "dwi.nii.gz")
        np.savetxt(tmp_path / "dwi.bval", b_values[None], fmt="%g")
        np.savetxt(tmp_path / "dwi.bvec", vectors.T)
        arguments = ["dti", "--dwi", str(tmp_path / "dwi.nii.gz"), "--out", str(tmp_path / "x"), "--force"]
        code = main([*arguments, "--mask", "none", "--device", "cpu", *more])
        return code, capsys.readouterr().err

    return run


def appended(signal, b, g):
    adc = np.full((*SHAPE, 1), 0.8, np.float32)
    return np.concatenate([signal, adc], 3), np.append(b, 0), np.vstack([g, np.zeros(3)])


def emptied(signal, b, g):
    signal[..., 6] = 0
    return signal, b, g


def shifted(signal, b, g):
    return signal[..., 2:], np.roll(b[2:], 1), np.roll(g[2:], 1, axis=0)


def offset(signal, b, g):
    return signal - 600, b, g


@pytest.mark.parametrize("more", [[], ["--max-memory", "0.0002"]], ids=["whole", "slabs"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (appended, "volume 16 has b = 0, but a signal that differs from the others'"),
        (emptied, "volume 7 has no signal"),
        (shifted, "volume 1 has b > 0, but more signal than at b = 0"),
    ],
)
def test_a_volume_that_contradicts_the_table_is_refused(fit, change, message, more):
    code, text = fit(change, *more)
    assert code == 3
    assert message in text


def test_the_volume_is_left_out_on_request(fit):
    assert fit(appended, "--exclude-volumes", "16")[0] == 0
    assert fit(emptied, "--exclude-volumes", "7")[0] == 0


def test_a_pair_of_volumes_at_b_0_that_disagree_is_refused(fit):
    def pair(signal, b, g):
        signal[..., 1] *= 0.3
        return np.delete(signal, 2, 3), np.delete(b, 2), np.delete(g, 2, 0)

    code, text = fit(pair)
    assert code == 3
    assert "volumes 1,2 have b = 0, but signals that differ by more than" in text


def test_a_signal_with_an_offset_is_refused(fit):
    code, text = fit(offset)
    assert code == 3
    assert "a negative mean signal in the object" in text


def test_weighted_volumes_that_are_mirrored_against_b_0_are_refused(fit, rng):
    """A lopsided object: what is bright at b = 0 is so at b = 1000, and nothing is symmetrical."""
    shape = (*SHAPE, 1)
    object_ = np.where(rng.uniform(size=shape) < 0.5, np.float32(0.02), np.float32(1))

    def made(signal, b, g):
        return signal * object_, b, g

    def mirrored(signal, b, g):
        signal = signal * object_
        signal[..., b > 0] = signal[:, ::-1][..., b > 0]
        return signal, b, g

    assert fit(made)[0] == 0
    code, text = fit(mirrored)
    assert code == 3
    assert "dwi.nii.gz: affine: the volumes with b > 0 are mirrored along y of the array" in text


def test_a_given_mask_of_the_surroundings_is_refused(fit, tmp_path):
    inside = np.zeros(SHAPE, bool)
    inside[1:5, 1:6, 1:4] = True

    def made(signal, b, g):
        return signal * np.where(inside, np.float32(1), np.float32(0.05))[..., None], b, g

    for name, mask in (("inside", inside), ("outside", ~inside)):
        nib.save(
            nib.Nifti1Image(mask.astype(np.uint8), np.diag([-2.0, 2.0, 2.0, 1.0])), tmp_path / f"{name}.nii"
        )
    assert fit(made, "--mask", str(tmp_path / "inside.nii"))[0] == 0
    code, text = fit(made, "--mask", str(tmp_path / "outside.nii"))
    assert code == 3
    assert "outside.nii: inside and outside seem to be exchanged" in text
