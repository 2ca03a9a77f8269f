"""A run that replaces another removes the maps that it does not make, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsmengine.cli.main import main
from qsmengine.io.atomic import write_json
from qsmengine.phantom import virtual_head
from qsmengine.phantom.bids import write_bids
from qsmengine.pipeline.outputs.obsolete import obsolete_files
from qsmengine.pipeline.outputs.staging import staged

OURS = {"Software": {"qsmengine": "1"}, "ConfigurationHash": "abc"}
IMAGES = [Path("kept.nii.gz"), Path("old.nii.gz")]


def earlier(folder: Path, sidecar: object = OURS) -> None:
    """Write an image that the new run makes too and one that it does not, with their sidecars."""
    for image in IMAGES:
        (folder / image).write_bytes(b"image")
        write_json(folder / image.with_name(image.name.replace(".nii.gz", ".json")), sidecar)


def found(folder: Path, sources: tuple[Path, ...] = (), *, force: bool = True) -> tuple[Path, ...]:
    return obsolete_files(folder, IMAGES, IMAGES[:1], sources, force=force)


def test_maps_that_the_new_run_does_not_make_are_obsolete(tmp_path):
    earlier(tmp_path)
    assert found(tmp_path) == (Path("old.nii.gz"), Path("old.json"))
    assert found(tmp_path, force=False) == ()


@pytest.mark.parametrize(
    "sidecar",
    [{}, {"Software": {"qsmengine": "1"}}, {"Software": "other 1", "ConfigurationHash": "abc"}],
    ids=["empty", "of a single stage", "of other software"],
)
def test_images_that_no_run_has_written_are_kept(tmp_path, sidecar):
    earlier(tmp_path, sidecar)
    assert found(tmp_path) == ()


@pytest.mark.parametrize("text", [None, "{", "[]"], ids=["missing", "damaged", "a list"])
def test_images_whose_sidecar_cannot_be_read_are_kept(tmp_path, text):
    earlier(tmp_path)
    (tmp_path / "old.json").unlink()
    if text is not None:
        (tmp_path / "old.json").write_text(text)
    assert found(tmp_path) == ()


def test_inputs_of_the_new_run_are_kept(tmp_path):
    earlier(tmp_path)
    (tmp_path / "link.nii.gz").symlink_to("old.nii.gz")
    assert found(tmp_path, (tmp_path / "link.nii.gz",)) == ()


def test_an_error_in_the_publication_keeps_the_obsolete_files(tmp_path):
    earlier(tmp_path)
    (tmp_path / "b").mkdir()  # a folder has the name of an output

    def write():
        with staged(tmp_path, obsolete=IMAGES) as folder:
            for name in "abc":
                (folder / name).write_text("new")

    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(OSError, match="b"):
        write()
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_obsolete_files_disappear_without_symbolic_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    earlier(tmp_path)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    with staged(tmp_path, obsolete=[Path("old.nii.gz"), Path("old.json"), Path("missing")]) as folder:
        (folder / "kept.nii.gz").write_bytes(b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "kept.nii.gz"]
    assert (tmp_path / "kept.nii.gz").read_bytes() == b"new"


@pytest.fixture(scope="module")
def anat(tmp_path_factory):
    """Folder of a virtual subject's gradient echoes."""
    head = virtual_head(voxel_size=(6.0, 6.0, 6.0), modalities=("gre",))
    return write_bids(head, tmp_path_factory.mktemp("bids"), "01") / "anat"


def reconstruct(anat, out, *more):
    series = sorted(map(str, anat.glob("*_MEGRE.nii.gz")))
    phase, magnitude = ([path for path in series if f"part-{part}" in path] for part in ("phase", "mag"))
    fixed = ["--preset", "fast", "--set", "inversion=tkd", "--device", "cpu"]
    return main(["qsm", "-p", *phase, "-m", *magnitude, "-o", str(out), *fixed, *more])


def test_forced_qsm_removes_maps_of_the_earlier_configuration(anat, tmp_path, capsys):
    out = tmp_path / "out"
    assert reconstruct(anat, out, "--set", "relaxometry=arlo") == 0
    users = out / "sub-01" / "anat" / "sub-01_T1map.nii.gz"
    users.write_bytes(b"of the user")
    assert any(path.name.endswith("T2starmap.nii.gz") for path in out.rglob("*"))
    assert reconstruct(anat, out, "--set", "relaxometry=none", "--force", "--dry-run") == 0
    assert "T2starmap.nii.gz" in capsys.readouterr().err
    assert any(path.name.endswith("T2starmap.nii.gz") for path in out.rglob("*"))
    assert reconstruct(anat, out, "--set", "relaxometry=none", "--force") == 0
    assert "maps of an earlier run that this run does not make are removed" in capsys.readouterr().err
    assert not [path for path in out.rglob("*") if "starmap" in path.name]
    assert users.read_bytes() == b"of the user"
    assert list(out.rglob("*_Chimap.nii.gz"))
