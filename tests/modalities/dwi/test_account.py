"""Tables of volumes and slices of a diffusion fit: exactly the lost slices of a drawn head are found."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.io import write_image
from qsmengine.phantom.head import virtual_head

LOST = ((6, 21, 0.5), (6, 24, 0.7), (13, 30, 0.3), (20, 18, 0.6), (20, 19, 0.6))
"""Volumes and slices from 1, and the part of their signal that is left."""
MOVED = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gradient table and images of a head: ``clean.nii.gz``, and ``lost.nii.gz`` with the faults."""
    place = tmp_path_factory.mktemp("dwi")
    head = virtual_head(voxel_size=(4.0,) * 3, snr=30, seed=4, modalities=("dwi",))
    write_image(place / "clean.nii.gz", head.dwi.signal, head.grid)
    signal = head.dwi.signal.copy()
    for volume, z, kept in LOST:
        signal[:, :, z - 1, volume - 1] *= np.float32(kept)
    signal[..., MOVED - 1] = np.roll(signal[..., MOVED - 1], 1, axis=1)
    write_image(place / "lost.nii.gz", signal, head.grid)
    for name in ("clean", "lost"):
        np.savetxt(place / f"{name}.bval", head.dwi.b_values[None], fmt="%g")
        np.savetxt(place / f"{name}.bvec", head.dwi.b_vectors.T)
    return place


def fit(folder, name, *more, kind="bids"):
    """Fit a series; return the folder of its files."""
    out = folder / "-".join(["out", name, kind, *more])
    words = ["dti", "--dwi", str(folder / f"{name}.nii.gz"), "--names", kind, "--out", str(out / "sub-1"), "-q"]
    assert main([*words, "--force", "--device", "cpu", *more]) == 0
    return out


def table(out, name):
    """Rows of a table, whose columns its dictionary describes."""
    path = out / f"sub-1_desc-{name}_dti.tsv"
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))
    described = json.loads(path.with_suffix(".json").read_text())
    if name != "quality":
        assert list(rows[0]) == list(described)
    assert all(entry["Description"] for entry in described.values())
    return rows


def test_lost_slices_are_found_with_what_is_missing(folder):
    out = fit(folder, "lost")
    slices = {(int(row["volume"]), int(row["slice"])): row for row in table(out, "slices")}
    assert {place for place, row in slices.items() if row["lost"] == "1"} == {(v, z) for v, z, _ in LOST}
    for volume, z, kept in LOST:
        assert float(slices[volume, z]["signal_change"]) == pytest.approx(100 * (kept - 1), abs=4)
        assert float(slices[volume, z]["score"]) < -4
    volumes = {int(row["volume"]): row for row in table(out, "volumes")}
    assert {v: int(row["lost_slices"]) for v, row in volumes.items() if row["lost_slices"] != "0"} == {
        6: 2, 13: 1, 20: 2,
    }  # fmt: skip
    assert float(volumes[MOVED]["shift"]) == pytest.approx(4, abs=0.4)
    ratios = {v: float(row["relative_residual"]) for v, row in volumes.items() if row["shift"] != "n/a"}
    assert max(ratios, key=ratios.__getitem__) == MOVED
    (quality,) = table(out, "quality")
    judged = sum(int(row["judged_slices"]) for row in volumes.values())
    assert float(quality["lost_slices"]) == pytest.approx(100 * len(LOST) / judged, rel=1e-4)
    assert float(quality["worst_volume"]) == pytest.approx(ratios[MOVED], rel=1e-3)
    record = json.loads((out / "sub-1_desc-dti_prov.json").read_text())
    assert record["SliceLoss"] == {"Judged": judged, "Lost": len(LOST), "Volumes": [6, 13, 20]}


def test_clean_slices_are_not_lost(folder):
    out = fit(folder, "clean")
    rows = table(out, "slices")
    assert len(rows) > 800
    assert sum(row["lost"] == "0" for row in rows) > 800
    assert {row["lost"] for row in rows} == {"0", "n/a"}
    (quality,) = table(out, "quality")
    assert float(quality["lost_slices"]) == 0
    assert float(quality["worst_volume"]) < 1.5


def test_slabs_judge_the_same_slices(folder):
    whole, slabs = fit(folder, "lost"), fit(folder, "lost", "--max-memory", "0.003")
    for first, second in zip(table(whole, "slices"), table(slabs, "slices"), strict=True):
        assert {**first, "score": ""} == {**second, "score": ""}
    assert {row["shift"] for row in table(slabs, "volumes")} == {"n/a"}


def test_volumes_keep_their_numbers_when_others_are_left_out(folder):
    rows = table(fit(folder, "lost", "--exclude-volumes", "5"), "volumes")
    assert [row["volume"] for row in rows][3:6] == ["4", "6", "7"]
    assert [row["volume"] for row in rows if row["lost_slices"] != "0"] == ["6", "13", "20"]


def test_other_names_have_no_tables(folder):
    assert not list(fit(folder, "clean", kind="fsl").rglob("*.tsv"))
