"""`qsmengine preproc` on a small series, with the registration replaced by known transforms."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.io import load_dwi, read_image, write_image
from qsmengine.phantom.scheme import default_scheme
from tests.stages.diffusion.moving import motions, moved_series, smooth_head


@pytest.fixture
def moving(tmp_path, rng):
    grid, _, s0, tensor = smooth_head(rng, (24, 26, 20), (4.0, 4.0, 4.0))
    b, g = default_scheme(8, 1000.0, 2)
    matrices = motions(rng, grid, 10, 3.0, 2.0)
    series = moved_series(tensor, s0, b, g, grid, matrices, rng, 0.01)
    series.signal[:, :, 9, 6] *= 0.4
    folder = tmp_path / "raw"
    folder.mkdir()
    write_image(folder / "dwi.nii.gz", series.signal, grid)
    np.savetxt(folder / "dwi.bval", b[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", g.T)
    return folder / "dwi.nii.gz", matrices


def test_writes_series_table_mask_motion_and_outliers(tmp_path, moving, monkeypatch):
    dwi, matrices = moving
    order = iter([*range(1, 10), *range(2, 10)])
    monkeypatch.setattr("qsmengine.sessions.preproc.register", lambda *_: matrices[next(order)])
    assert main(["preproc", "--dwi", str(dwi), "--out", str(tmp_path / "out" / "s1"), "-q"]) == 0
    out = tmp_path / "out"
    before, after = load_dwi(dwi).series, load_dwi(out / "s1_dwi.nii.gz").series
    mask = read_image(out / "s1_mask.nii.gz").array > 0
    spread = [np.std(s.signal[..., 2:][mask], axis=1).mean() for s in (before, after)]
    assert spread[1] < spread[0]
    assert np.abs(after.b_vectors - before.b_vectors)[2:].max() > 0.01
    np.testing.assert_array_equal(after.b_values, before.b_values)
    rows = (out / "s1_motion.tsv").read_text().splitlines()
    assert len(rows) == 11
    assert float(rows[1].split("\t")[-1]) == 0.0
    assert float(rows[5].split("\t")[-1]) > 0.1
    assert (out / "s1_outliers.tsv").read_text().splitlines()[1].startswith("6\t9\t-")
    facts = json.loads((out / "s1_dwi.json").read_text())
    assert facts["GradientsRotated"] is True
    assert facts["SusceptibilityDistortionCorrection"] is False
    assert facts["OutlierSlices"] == 1
    assert facts["NoiseStandardDeviation"] > 0


def test_without_the_library_nothing_is_written_and_the_extra_is_named(tmp_path, moving, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ants", None)
    command = ["preproc", "--dwi", str(moving[0]), "--out", str(tmp_path / "out" / "s1")]
    assert main(command) == 4
    assert "qsmengine[registration]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--model", "none", "-q"]) == 0
    np.testing.assert_array_equal(
        load_dwi(tmp_path / "out" / "s1_dwi.nii.gz").series.signal, load_dwi(moving[0]).series.signal
    )
