"""Candidates for lesions in a FLAIR image: found, written as such, filled on request, and refused pairs."""

from __future__ import annotations

import builtins
import csv
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from qsmengine import InputError, UsageError, reconstruct_anatomy
from qsmengine.backend.device import resolve_device
from qsmengine.cli.main import main
from qsmengine.cohort.select.segmentations import Derivatives
from qsmengine.data import Map
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.t1w import run as run_module
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.screening import VENTRICLES, screen
from tests.modalities.t1w.making import FLAIR_LEVEL, flair, made


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """The classes of the drawn head in place of the network."""
    monkeypatch.setattr(run_module, "segment", lambda *_: made().segmentation)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """T1-weighted and FLAIR image, and a mask of lesions."""
    folder, head = tmp_path_factory.mktemp("raw"), made()
    paths = [folder / name for name in ("sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz", "lesions.nii.gz")]
    for path, array in zip(paths, (head.with_lesions, flair(), head.lesions.astype(np.uint8)), strict=True):
        write_image(path, array, head.grid)
    return paths


def _run(files, out, *more):
    return main(["anatomy", "--t1", str(files[0]), "--flair", str(files[1]), "--out", str(out), *more])


def test_a_bright_lesion_is_found_and_nothing_else():
    head, device = made(), resolve_device("cpu")
    found = screen(flair(), head.grid, head.segmentation, device)
    both = 2 * (found.mask & head.lesions).sum() / (found.mask.sum() + head.lesions.sum())
    assert both > 0.7
    assert found.number == 1
    assert found.load == pytest.approx(found.mask.sum() * head.grid.voxel_volume / 1000)
    none = screen(flair(FLAIR_LEVEL["wm"]), head.grid, head.segmentation, device)
    assert (none.number, none.load) == (0, 0.0)


def test_fluid_that_the_network_takes_for_white_matter_makes_no_candidates():
    head, device = made(), resolve_device("cpu")
    image = flair()
    white = head.segmentation.fraction((CLASSES.index("white_matter"),), head.grid) > 0.5
    places = np.argwhere(white & ~head.lesions)
    fluid = tuple(places[np.argsort(places @ (1, -1, 1), kind="stable")][: len(places) // 5].T)
    image[fluid] *= 0.05
    plain, found = (screen(one, head.grid, head.segmentation, device) for one in (flair(), image))
    assert found.number == 1
    assert found.load == pytest.approx(plain.load, rel=0.2)


def test_candidates_are_written_as_screening_and_are_no_mask_of_lesions(files, tmp_path, capsys):
    assert _run(files, tmp_path / "out") == 0
    assert "screening only" in "".join(capsys.readouterr())
    folder = tmp_path / "out" / "sub-01" / "anat"
    mask = folder / "sub-01_desc-lesionscreening_mask.nii.gz"
    assert (
        "screening only"
        in json.loads(mask.with_name(mask.name.replace(".nii.gz", ".json")).read_text())["Description"]
    )
    with (folder / "sub-01_volumes.tsv").open(encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    marked = read_image(mask).array > 0
    assert float(row["screening_load"]) == pytest.approx(
        marked.sum() * made().grid.voxel_volume / 1000, rel=1e-3
    )
    assert row["screening_count"] == "1"
    assert row["lesions"] == "n/a"
    found, notes = Derivatives(tmp_path, tmp_path / "other", [tmp_path / "out"], None).find("01", None)
    assert "lesions" not in {image.role for image in found}
    assert not notes


def test_candidates_are_filled_on_request_and_a_given_mask_has_precedence():
    head = made()
    image = Map(flair(), "arbitrary", head.grid)
    segmented = partial(reconstruct_anatomy, head.with_lesions, head.grid, flair=image)
    true = head.parts["wm"][head.lesions].sum()
    plain = segmented()
    assert plain.wm[head.lesions].sum() < 0.2 * true
    filled = segmented(fill_screened=True)
    assert filled.wm[head.lesions].sum() == pytest.approx(true, rel=0.1)
    assert filled.volumes.lesions is None
    given = segmented(fill_screened=True, lesions=np.zeros(head.grid.shape, bool))
    np.testing.assert_array_equal(given.wm, plain.wm)
    assert given.volumes.lesions == 0
    with pytest.raises(UsageError, match="FLAIR"):
        reconstruct_anatomy(head.with_lesions, head.grid, fill_screened=True)


def test_an_image_on_another_grid_is_refused_without_the_registration_library(
    files, tmp_path, capsys, monkeypatch
):
    imported = builtins.__import__

    def without(name, *rest):
        if name == "ants":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    grid = Grid(made().grid.shape, np.diag([1.1, 1, 1, 1]) @ made().grid.affine, 3.0)
    other = tmp_path / "sub-01_FLAIR.nii.gz"
    write_image(other, flair(), grid)
    assert _run((files[0], other), tmp_path / "out", "--quiet") != 0
    said = capsys.readouterr().err.strip()
    assert "antspyx" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_an_image_of_another_contrast_is_refused():
    head, device = made(), resolve_device("cpu")
    with pytest.raises(InputError, match="cortex is not brighter than white matter"):
        screen(head.image, head.grid, head.segmentation, device)
    classes = head.segmentation.classes.copy()
    middle = tuple(slice(n // 2 - 4, n // 2 + 4) for n in classes.shape)
    classes[middle] = CLASSES.index("lateral_ventricle")
    ventricles = replace(head.segmentation, classes=classes)
    with pytest.raises(InputError, match="ventricles are not dark"):
        screen(flair() + 400 * ventricles.fraction(VENTRICLES, head.grid), head.grid, ventricles, device)
    screen(flair() * (1 - 0.8 * ventricles.fraction(VENTRICLES, head.grid)), head.grid, ventricles, device)


def test_an_image_without_signal_or_white_matter_is_refused():
    head, device = made(), resolve_device("cpu")
    with pytest.raises(InputError, match="is 0 in white matter"):
        screen(np.zeros(head.grid.shape, np.float32), head.grid, head.segmentation, device)
    without = head.segmentation.__class__(
        np.zeros_like(head.segmentation.classes), head.segmentation.grid, head.segmentation.brain
    )
    with pytest.raises(InputError, match="voxels of white matter"):
        screen(flair(), head.grid, without, device)
