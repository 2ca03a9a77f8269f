"""Anatomy from a file to its derivatives: maps, tables, lesions, refusals, command and arrays."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from qsmengine import InputError, UsageError, reconstruct_anatomy
from qsmengine.backend.device import to_numpy
from qsmengine.cli.main import main
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.t1w import run as run_module
from qsmengine.stages.anatomy.head_size import TEMPLATE_VOLUME
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.structures import STRUCTURES, Segmentation
from tests.modalities.t1w.making import made


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """The classes of the drawn head in place of the network, which takes a minute for a head."""
    monkeypatch.setattr(run_module, "segment", lambda *_: made().segmentation)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A T1-weighted image with a BIDS name, and a mask of lesions."""
    folder = tmp_path_factory.mktemp("raw")
    image, lesions = folder / "sub-01_T1w.nii.gz", folder / "lesions.nii.gz"
    write_image(image, made().image, made().grid)
    write_image(lesions, made().lesions.astype(np.uint8), made().grid)
    return image, lesions


def _rows(path):
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_command_writes_fractions_labels_and_volumes(files, tmp_path):
    assert main(["anatomy", "--t1", str(files[0]), "--out", str(tmp_path), "--quiet"]) == 0
    folder = tmp_path / "sub-01" / "anat"
    maps = {
        name: read_image(folder / f"sub-01_label-{name.upper()}_probseg.nii.gz").array
        for name in ("gm", "wm", "csf")
    }
    mask = read_image(folder / "sub-01_desc-brain_mask.nii.gz").array > 0
    np.testing.assert_allclose(np.add.reduce(list(maps.values()))[mask], 1.0, atol=1e-3)
    labels = read_image(folder / "sub-01_desc-dgm_dseg.nii.gz").array
    row = _rows(folder / "sub-01_volumes.tsv")[0]
    volume = made().grid.voxel_volume
    for name, array in maps.items():
        assert float(row[name]) == pytest.approx(array.sum(dtype=float) * volume, rel=1e-3)
        assert float(row[name]) == pytest.approx(made().parts[name].sum() * volume, rel=0.03)
    assert float(row["brain"]) == pytest.approx(float(row["gm"]) + float(row["wm"]), rel=1e-4)
    assert float(row["brain_fraction"]) == pytest.approx(float(row["brain"]) / float(row["mask"]), rel=1e-3)
    assert row["lesions"] == "n/a"
    assert row["size_from"] == "skull"
    assert float(row["etiv"]) * float(row["scaling"]) == pytest.approx(TEMPLATE_VOLUME, rel=1e-3)
    for name, plain in (("nbv", "brain"), ("ngmv", "gm"), ("nwmv", "wm")):
        assert float(row[name]) == pytest.approx(float(row[plain]) * float(row["scaling"]), rel=1e-4)
    table = {int(r["index"]): r for r in _rows(folder / "sub-01_desc-dgm_dseg.tsv")}
    assert set(np.unique(labels)) == {0, *table}
    assert table[51]["hemisphere"] == "right"
    found = made().segmentation
    putamen = float((found.classes == CLASSES.index("putamen")).sum()) / 2 * found.grid.voxel_volume
    assert float(table[51]["volume"]) == pytest.approx(putamen, rel=0.05)
    assert maps["gm"][labels > 0].min() > 0.3
    quality = _rows(folder / "sub-01_desc-quality_anatomy.tsv")[0]
    assert float(quality["contrast_to_noise"]) > 3
    assert json.loads((folder / "sub-01_desc-dgm_dseg.json").read_text())["Description"]


def test_left_labels_lie_on_the_left(files, tmp_path):
    assert main(["anatomy", "--t1", str(files[0]), "--out", str(tmp_path), "--quiet"]) == 0
    image = read_image(tmp_path / "sub-01" / "anat" / "sub-01_desc-dgm_dseg.nii.gz")
    for left, right in ((10, 49), (12, 51)):
        x = [(np.argwhere(image.array == n) @ made().grid.affine[:3, :3].T)[:, 0].mean() for n in (left, right)]
        assert x[0] < x[1]


def test_normalised_volumes_do_not_depend_on_the_size_of_the_head(monkeypatch):
    head, larger = made(), np.diag([1.1, 1.1, 1.1, 1.0])
    known = head.segmentation
    grids = [Grid(g.shape, larger @ g.affine, 3.0) for g in (head.grid, known.grid)]
    plain = reconstruct_anatomy(head.image, head.grid).volumes
    monkeypatch.setattr(run_module, "segment", lambda *_: Segmentation(known.classes, grids[1], known.brain))
    scaled = reconstruct_anatomy(head.image, grids[0]).volumes
    assert scaled.brain == pytest.approx(1.1**3 * plain.brain, rel=0.01)
    assert scaled.normalised(scaled.brain) == pytest.approx(plain.normalised(plain.brain), rel=0.01)


def test_an_image_without_skull_is_normalised_by_its_brain_and_says_so():
    head = made()
    found = reconstruct_anatomy(np.where(head.segmentation.brain, head.image, 0), head.grid)
    assert found.volumes.size.origin == "brain"
    assert any("outer skull" in note for note in found.notes)


def test_lesions_are_filled_and_count_as_white_matter():
    head = made()
    plain = reconstruct_anatomy(head.with_lesions, head.grid)
    filled = reconstruct_anatomy(head.with_lesions, head.grid, lesions=head.lesions)
    true = head.parts["wm"][head.lesions].sum()
    assert plain.wm[head.lesions].sum() < 0.2 * true
    assert filled.wm[head.lesions].sum() == pytest.approx(true, rel=0.05)
    assert filled.volumes.lesions == pytest.approx(head.lesions.sum() * head.grid.voxel_volume)
    assert filled.volumes.wm == pytest.approx(head.parts["wm"].sum() * head.grid.voxel_volume, rel=0.03)
    none = reconstruct_anatomy(head.with_lesions, head.grid, lesions=np.zeros(head.grid.shape, bool))
    assert none.volumes.lesions == 0
    np.testing.assert_array_equal(none.wm, plain.wm)


def test_results_lie_on_the_device_and_do_not_depend_on_it(device):
    expected = reconstruct_anatomy(made().image, made().grid, lesions=made().lesions)
    found = reconstruct_anatomy(made().image, made().grid, lesions=made().lesions, device=device)
    for name in ("gm", "wm", "csf", "labels"):
        array = getattr(found, name)
        assert isinstance(array, device.xp.ndarray)
        np.testing.assert_allclose(to_numpy(array), getattr(expected, name), atol=1e-3)


def test_a_given_mask_limits_every_map():
    mask = made().segmentation.brain.copy()
    mask[: mask.shape[0] // 2] = False
    found = reconstruct_anatomy(made().image, made().grid, mask=mask)
    assert not (found.gm + found.wm + found.csf)[~mask].any()
    assert not found.labels[~mask].any()
    np.testing.assert_array_equal(found.mask != 0, mask)


def test_structures_that_are_not_reliable_are_noted(monkeypatch):
    broken = made().segmentation.classes.copy()
    broken[:30][broken[:30] == CLASSES.index("caudate")] = CLASSES.index("white_matter")
    monkeypatch.setattr(run_module, "segment", lambda *_: made().segmentation.__class__(
        broken, made().segmentation.grid, made().segmentation.brain))  # fmt: skip
    found = reconstruct_anatomy(made().image, made().grid)
    assert any(note.startswith("caudate: not reliable") for note in found.notes)
    assert any(s.problems for s in found.structures if s.name == "caudate")


def unfound(classes):
    """Return classes in which the network has found cortex and white matter alone."""
    return np.where(np.isin(classes, [CLASSES.index(s.name) for s in STRUCTURES]), 1, classes)


def test_a_head_without_any_structure_is_refused_and_nothing_written(files, tmp_path, capsys, monkeypatch):
    whole = made().segmentation
    monkeypatch.setattr(
        run_module, "segment", lambda *_: replace(whole, classes=unfound(whole.classes).astype(np.uint8))
    )
    assert main(["anatomy", "--t1", str(files[0]), "--out", str(tmp_path / "out"), "--quiet"]) == 3
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert f"{files[0]}: t1w: no structure of the deep grey matter is found" in said
    assert not (tmp_path / "out").exists()


def test_an_image_from_which_its_mean_was_taken_is_refused(files, tmp_path, capsys):
    path = tmp_path / "sub-01_T1w.nii.gz"
    write_image(path, made().image - made().image.mean(), made().grid)
    assert main(["anatomy", "--t1", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 3
    assert f"{path}: data: " in (said := capsys.readouterr().err)
    assert "of the voxels are negative: give the magnitude" in said


def test_volumes_of_grey_and_white_matter_that_no_brain_has_are_refused(monkeypatch):
    monkeypatch.setattr(run_module, "GREY_TO_WHITE", (2.0, 4.0))
    with pytest.raises(InputError, match=r"t1w: grey matter has \d+ mL and white matter \d+ mL, a ratio that"):
        reconstruct_anatomy(made().image, made().grid)


def test_earlier_outputs_are_kept_without_force(files, tmp_path, capsys):
    arguments = ["anatomy", "--t1", str(files[0]), "--out", str(tmp_path), "--quiet"]
    assert main(arguments) == 0
    assert main(arguments) != 0
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize(
    ("shape", "voxel", "field"),
    [((65, 65, 65, 3), 2.5, "dim"), ((12, 40, 40), 2.5, "dim"), ((40, 40, 40), 6.0, "pixdim")],
)
def test_unusable_images_are_refused_in_one_line_that_names_file_and_field(
    shape, voxel, field, tmp_path, capsys
):
    path = tmp_path / "sub-01_T1w.nii.gz"
    grid = Grid(shape[:3], np.diag([voxel, voxel, voxel, 1.0]), 3.0)
    write_image(path, np.ones(shape, np.float32), grid)
    assert main(["anatomy", "--t1", str(path), "--out", str(tmp_path / "out"), "--quiet"]) != 0
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert path.name in said
    assert field in said
    assert not (tmp_path / "out").exists()


def test_values_that_are_not_finite_and_masks_of_another_grid_are_refused(files, tmp_path, capsys):
    path, small = tmp_path / "T1w.nii.gz", tmp_path / "small.nii.gz"
    image = made().image.copy()
    image[3, 3, 3] = np.nan
    write_image(path, image, made().grid)
    assert main(["anatomy", "--t1", str(path), "--out", str(tmp_path / "out"), "--quiet"]) != 0
    assert "not finite" in capsys.readouterr().err
    write_image(small, np.ones((20, 20, 20), np.uint8), Grid((20, 20, 20), np.eye(4), 3.0))
    for option in ("--lesions", "--mask"):
        arguments = [
            "anatomy",
            "--t1",
            str(files[0]),
            option,
            str(small),
            "--out",
            str(tmp_path / "out"),
            "--quiet",
        ]
        assert main(arguments) != 0
        assert "small.nii.gz" in capsys.readouterr().err


def test_arrays_that_do_not_fit_and_unknown_stages_are_refused():
    with pytest.raises(InputError, match="lesions"):
        reconstruct_anatomy(made().image, made().grid, lesions=np.zeros((3, 3, 3), bool))
    with pytest.raises(InputError, match="mask"):
        reconstruct_anatomy(made().image, made().grid, mask=np.zeros(made().grid.shape, bool))
    with pytest.raises(UsageError, match="unknown stage"):
        reconstruct_anatomy(made().image, made().grid, params={"nonsense": {}})
