"""Every territory is deconvolved by an artery in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.io import write_image
from qsmengine.modalities.dsc.run import run_dsc
from qsmengine.modalities.dsc.session import SESSION, DscRequest
from qsmengine.phantom.bolus import Bolus
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.dsc.making import BOLUS, GRID, brain, write, write_mask

CPU = Device("cpu", threads=2)
LATER = 3.0
"""Delay of the right half [s], artery and tissue."""
CONFIG = load_config(settings=["deconvolution=csvd", "leakage=none"])


@pytest.fixture(scope="module")
def case():
    """A brain whose right half and its artery lag behind the left, and labels of the halves."""
    rng = np.random.default_rng(31)
    early = brain(rng)
    late = brain(rng, bolus=Bolus(arrival=BOLUS.arrival + LATER))
    right = np.arange(GRID.shape[0])[:, None, None] >= 11
    signals = tuple(
        np.where(right[..., None], a, b) for a, b in zip(late.series.signals, early.series.signals, strict=True)
    )
    labels = np.where(right, 7, 4) * np.ones(GRID.shape, int)
    return early._replace(series=replace(early.series, signals=signals)), labels


def test_delays_are_counted_from_the_artery_of_the_territory(case, device):
    made, labels = case
    single = run_dsc(made.series, CONFIG, device, mask=made.mask)
    found = run_dsc(made.series, CONFIG, device, mask=made.mask, territories=labels)
    local = found.facts["local_arteries"]
    assert set(local) == {4, 7}
    for label, artery in local.items():
        assert (made.artery & (labels == label))[artery.voxels].all()
        assert artery.curve.sum() == pytest.approx(found.aif.sum())
    inner, side = made.grey | made.white, labels == 7
    apart, near = (
        np.median(to_numpy(maps["tmax"])[inner & side]) - np.median(to_numpy(maps["tmax"])[inner & ~side])
        for maps in (single, found)
    )
    assert abs(apart) > 0.7 * LATER
    assert abs(near) < 0.3 * LATER
    np.testing.assert_allclose(to_numpy(found["cbv"]), to_numpy(single["cbv"]), rtol=1e-3, atol=1e-3)


def test_a_territory_without_an_artery_keeps_that_of_the_brain(case):
    made, labels = case
    away = np.where(np.arange(GRID.shape[0])[:, None, None] >= 16, 9, 0) * np.ones_like(labels)
    single = run_dsc(made.series, CONFIG, CPU, mask=made.mask)
    found = run_dsc(made.series, CONFIG, CPU, mask=made.mask, territories=away)
    assert any("territory 9" in note for note in found.notes)
    np.testing.assert_array_equal(found["cbf"], single["cbf"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda a: a[1:], "shape"), (lambda a: a + 0.5, "whole numbers"), (lambda a: 0 * a, "none lies")],
)
def test_territories_that_are_no_labels_are_refused(case, change, reason):
    made, labels = case
    with pytest.raises(InputError, match=reason):
        run_dsc(made.series, CONFIG, CPU, mask=made.mask, territories=change(labels))


def test_the_table_of_the_artery_holds_every_curve(case, tmp_path):
    made, labels = case
    (image,) = write(tmp_path / "raw", made)
    mask = write_mask(tmp_path / "mask.nii.gz", made.mask)
    write_image(tmp_path / "labels.nii.gz", labels.astype(np.int16), GRID)
    request = DscRequest((image,), tmp_path / "out", mask=mask, territories=tmp_path / "labels.nii.gz")
    SESSION.run(request, CONFIG, CPU)
    lines = (tmp_path / "out" / "perf_aif.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["time", "dr2star", "brain_dr2star", "dr2star_4", "dr2star_7"]
    assert len(lines) == 51
