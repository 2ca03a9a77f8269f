"""From spin echoes to maps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.mese.session import SESSION, MeseRequest
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.mese.making import GRID, brain, write, write_map

CPU = Device("cpu", threads=1)


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(1))


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """Images and mask on disk."""
    folder = tmp_path_factory.mktemp("raw")
    return tuple(write(folder, made)), write_map(folder / "mask.nii.gz", made.mask)


def run(images, out, **more):
    return SESSION.run(MeseRequest(tuple(images), out, **more), load_config(), CPU)


def test_a_session_writes_the_true_maps_whatever_the_order_of_the_images(files, made, tmp_path):
    images, mask = files
    outcome = run(reversed(images), tmp_path, mask=mask)
    names = {path.name for path in outcome.files}
    maps = ("R2map", "T2map", "desc-mese_TB1map", "desc-mese_M0map", "desc-sd_R2map", "desc-mesebrain_mask")
    assert {f"mese_{name}.{end}" for name in maps for end in ("nii.gz", "json")} <= names
    assert not any("R2prime" in name for name in names)
    r2 = read_image(tmp_path / "mese_R2map.nii.gz").array
    np.testing.assert_allclose(r2[made.mask], made.r2[made.mask], rtol=1e-4)
    assert not r2[~made.mask].any()
    b1 = read_image(tmp_path / "mese_desc-mese_TB1map.nii.gz").array
    np.testing.assert_allclose(b1[made.mask], made.b1[made.mask], rtol=1e-2)
    sidecar = json.loads((tmp_path / "mese_R2map.json").read_text())
    assert (sidecar["Units"], sidecar["EstimationAlgorithm"]) == ("1/s", "epg")
    assert sidecar["EchoTime"] == pytest.approx(made.series.echo_times)


def test_r2prime_is_clipped_at_zero_and_the_share_is_reported(files, made, tmp_path):
    images, mask = files
    rng = np.random.default_rng(2)
    r2star = made.r2 + rng.uniform(2, 20, GRID.shape).astype(np.float32)
    below = rng.random(GRID.shape) < 0.2
    r2star[below] = 0.5 * made.r2[below]
    path = write_map(tmp_path / "r2star.nii.gz", r2star)
    outcome = run(images, tmp_path / "out", mask=mask, r2star=path)
    r2prime = read_image(tmp_path / "out" / "mese_R2primemap.nii.gz").array
    expected = np.where(below, 0, r2star - made.r2)
    np.testing.assert_allclose(r2prime[made.mask], expected[made.mask], atol=0.02)
    share = below[made.mask].mean()
    assert f"R2* is below R2 in {100 * share:.1f} % of the voxels" in outcome.notes
    record = json.loads((tmp_path / "out" / "mese_desc-mese_prov.json").read_text())
    assert record["Acquisition"]["R2PrimeClippedShare"] == pytest.approx(share, abs=1e-5)


def test_echoes_may_be_volumes_and_b1_may_be_given(files, made, tmp_path):
    _, mask = files
    image, b1 = tmp_path / "train.nii.gz", write_map(tmp_path / "b1.nii.gz", 100 * made.b1)
    write_image(image, made.series.signal, GRID)
    outcome = run([image], tmp_path / "out", mask=mask, b1=(b1,), echo_times=made.series.echo_times)
    r2 = read_image(tmp_path / "out" / "train_R2map.nii.gz").array
    np.testing.assert_allclose(r2[made.mask], made.r2[made.mask], rtol=1e-4)
    assert any("percent" in note for note in outcome.notes)
    assert not any("no B1 map" in note for note in outcome.notes)


def test_values_that_are_not_finite_leave_the_mask(files, made, tmp_path):
    images, mask = files
    images = write(tmp_path / "raw", made)
    echo = made.series.signal[..., 2].copy()
    echo[7, 6, 4] = np.inf
    write_image(images[2], echo, GRID)
    run(images, tmp_path / "out", mask=mask)
    r2 = read_image(tmp_path / "out" / "mese_R2map.nii.gz").array
    assert r2[7, 6, 4] == 0
    assert np.isfinite(r2).all()
