"""`qsmengine register` from files to files, with a known transform instead of the search."""

import json
import sys

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix
from qsmengine.ops.alignment import align
from qsmengine.ops.transforms import Transform, Warp
from tests.ops.heads import GRID, head, motion, moved, texture

MOTION = motion((9.0, -8.0, 9.0), (9.0, -8.0, 9.0))
LARGER = Grid((56, 60, 54), np.array([[4.0, 0, 0, -110], [0, 4.0, 0, -120], [0, 0, 4.0, -108], [0, 0, 0, 1]]))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Fixed and moving image, a map and labels of the moving space; the search finds the true motion."""
    tissue = texture(np.random.default_rng(8))
    images = {"gre": (head(tissue, 1.5), GRID), "t1": (moved(head(tissue, -1.2), MOTION, LARGER), LARGER)}
    labels = np.rint(moved(np.where(tissue > 0.6, 2.0, 1.0) * (head(tissue, 0) > 1), MOTION, LARGER))
    images["labels"] = (labels.astype(np.int16), LARGER)
    for name, (array, grid) in images.items():
        write_image(tmp_path / f"{name}.nii.gz", array, grid)
    monkeypatch.setattr("qsmengine.sessions.registration.align", known(Transform(MOTION)))
    return tmp_path


def known(transform):
    """Return an alignment whose search finds `transform`, and its reflection at x = 0 for the mirror image."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])

    def run(*arguments, **options):
        found = iter([transform, Transform(mirror @ transform.matrix @ mirror)])
        return align(*arguments, **options, find=lambda *_: next(found))

    return run


def command(files, *more, moving="t1"):
    return ["register", "--moving", str(files / f"{moving}.nii.gz"), "--fixed", str(files / "gre.nii.gz"),
            "--out", str(files / "out"), "-q", *more]  # fmt: skip


def test_images_labels_transform_check_and_panel_are_written(files):
    (files / "map.nii.gz").write_bytes((files / "t1.nii.gz").read_bytes())
    more = ("--apply", str(files / "map.nii.gz"), "--labels", str(files / "labels.nii.gz"))
    assert main(command(files, *more)) == 0
    out = files / "out"
    t1, gre = (read_image(path) for path in (out / "t1_space-fixed.nii.gz", files / "gre.nii.gz"))
    assert t1.grid.matches(gre.grid)
    np.testing.assert_array_equal(read_image(out / "map_space-fixed.nii.gz").array, t1.array)
    np.testing.assert_allclose(read_matrix(out / "from-moving_to-fixed_xfm.txt"), MOTION, atol=1e-6)
    facts = json.loads((out / "registration.json").read_text())
    assert facts["EdgeAgreement"] > 0.8
    assert facts["InformationOverMirrorImage"] > 1.1
    assert facts["Problems"] == []
    assert (out / "registration.png").read_bytes().startswith(b"\x89PNG")


def test_fractions_of_labels_have_the_volume_of_the_moving_space(files):
    assert main(command(files, "--labels", str(files / "labels.nii.gz"))) == 0
    out, source = files / "out", read_image(files / "labels.nii.gz", dtype=np.int32)
    fractions = read_image(out / "labels_space-fixed_probseg.nii.gz").array
    dseg = read_image(out / "labels_space-fixed_dseg.nii.gz", dtype=np.int32).array
    rows = [line.split("\t") for line in (out / "labels_space-fixed_probseg.tsv").read_text().splitlines()]
    assert rows[0] == ["volume", "index", "volume_mm3"]
    for place, label in enumerate((1, 2)):
        volume = (source.array == label).sum() * source.grid.voxel_volume
        assert float(rows[place + 1][2]) == pytest.approx(volume, rel=0.03)
        assert fractions[..., place][dseg == label].min() >= 1 / 3 - 1e-6
    assert fractions.sum(axis=3).max() <= 1 + 1e-6


def test_a_displacement_is_applied_and_written(files, monkeypatch):
    field = np.zeros((*GRID.shape, 3), np.float32)
    field[..., 0] = 4.0
    found = Transform(MOTION, Warp(field, GRID), Warp(-field, GRID))
    monkeypatch.setattr("qsmengine.sessions.registration.align", known(found))
    assert main(command(files, "--kind", "syn", "--min-edges", "0")) == 0
    shifted = read_image(files / "out" / "t1_space-fixed.nii.gz").array
    right = moved(read_image(files / "t1.nii.gz").array, np.eye(4))
    assert right.shape == shifted.shape
    for name, sign in (("from-moving_to-fixed", -1), ("from-fixed_to-moving", 1)):
        stored = read_image(files / "out" / f"{name}_warp.nii.gz").array
        assert stored.reshape(*GRID.shape, 3, order="F")[..., 0].mean() == pytest.approx(4.0 * sign)


def test_a_wrong_pair_is_refused_unless_accepted(files, rng, capsys):
    write_image(files / "other.nii.gz", moved(head(texture(rng), -1.2), MOTION, LARGER), LARGER)
    assert main(command(files, moving="other")) == 3
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert "other.nii.gz: the images do not align" in message
    assert not (files / "out").exists()
    assert main(command(files, "--accept-poor", moving="other")) == 0
    assert json.loads((files / "out" / "registration.json").read_text())["Problems"]


def test_bad_input_is_one_line(files, capsys):
    write_image(files / "four.nii.gz", np.ones((20, 20, 20, 2), np.float32), Grid((20, 20, 20), np.eye(4)))
    write_image(files / "none.nii.gz", np.zeros(GRID.shape, np.int16), GRID)
    write_image(files / "flat.nii.gz", np.ones(GRID.shape, np.float32), GRID)
    (files / "sub").mkdir()
    (files / "sub" / "t1.nii.gz").write_bytes((files / "t1.nii.gz").read_bytes())
    cases = [
        (command(files, moving="four"), 3, "4 dimensions"),
        (command(files, moving="absent"), 3, "absent"),
        (command(files, moving="flat"), 3, "flat.nii.gz: every voxel is 1"),
        (command(files, "--labels", str(files / "none.nii.gz")), 3, "no label above 0"),
        (command(files, "--labels", str(files / "t1.nii.gz")), 3, "whole numbers"),
        (command(files, "--apply", str(files / "sub" / "t1.nii.gz")), 2, "rename one of them"),
        (command(files, "--kind", "elastic"), 2, "rigid, affine, syn"),
        (command(files, "--min-edges", "nan"), 2, "--min-edges"),
    ]
    for line, code, message in cases:
        assert main(line) == code
        said = capsys.readouterr().err.strip()
        assert message in said
        assert len(said.splitlines()) == 1
    assert not (files / "out").exists()


def test_earlier_outputs_are_kept_without_force(files, capsys):
    assert main(command(files)) == 0
    assert main(command(files)) == 2
    assert "--force" in capsys.readouterr().err
    assert main(command(files, "--force")) == 0


def test_without_the_library_nothing_is_written_and_the_extra_is_named(files, monkeypatch, capsys):
    monkeypatch.setattr("qsmengine.sessions.registration.align", align)
    monkeypatch.setitem(sys.modules, "ants", None)
    assert main(command(files)) == 4
    assert "qsmengine[registration]" in capsys.readouterr().err
    assert not (files / "out").exists()
