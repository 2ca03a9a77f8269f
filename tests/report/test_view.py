"""Picture of one map."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.report.view import row_of


@pytest.fixture
def image(save, rng):
    values = rng.normal(0, 0.03, (30, 28, 26)).astype("f4")
    values[20:24, 12:16, 11:15] = 1.0
    return save("sub-01_Chimap.nii.gz", values, np.diag([2.0, 2.0, 2.0, 1.0]))


def test_the_picture_shows_the_bright_region_on_the_side_of_the_patients_right(image, tmp_path, pixels):
    target = tmp_path / "a.png"
    assert main(["view", str(image), "--out", str(target), "--quiet"]) == 0
    picture = pixels(target)
    height, width = picture.shape[:2]
    axial = picture[int(0.3 * height) : int(0.9 * height), int(0.08 * width) : int(0.3 * width)].mean(axis=2)
    bright = np.argwhere(axial > 0.95)
    assert bright[:, 1].mean() < 0.5 * axial.shape[1]


def test_the_window_decides_what_is_white(image, tmp_path, pixels):
    shares = []
    for name, high in (("a", "0.01"), ("b", "100")):
        target = tmp_path / f"{name}.png"
        assert main(["view", str(image), "--out", str(target), "--window", "-0.01", high, "--quiet"]) == 0
        shares.append((pixels(target) > 0.99).mean())
    assert shares[0] > 3 * shares[1]


def test_an_unknown_map_has_the_unit_of_its_sidecar_and_any_volume(save, rng, tmp_path):
    path = save("other.nii.gz", rng.random((8, 9, 10, 3)).astype("f4"))
    path.with_name("other.json").write_text(json.dumps({"Units": "arbitrary"}))
    for volume in ("1", "3"):
        assert main(["view", str(path), "--out", str(tmp_path / f"{volume}.png"), "--volume", volume]) == 0
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "3.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (("--window", "1", "1"), 3, "empty"),
        (("--volume", "2"), 3, "volume"),
        (("--at", "900", "0", "0"), 3, "outside"),
        (("--out", "a.jpg"), 3, ".png"),
    ],
)
def test_what_cannot_be_shown_is_refused(image, tmp_path, monkeypatch, capsys, options, code, named):
    monkeypatch.chdir(tmp_path)
    assert main(["view", str(image), *options]) == code
    assert named in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_an_existing_picture_is_kept_without_force(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["view", str(image), "--quiet"]) == 0
    assert main(["view", str(image), "--quiet"]) == 2
    assert main(["view", str(image), "--quiet", "--force"]) == 0


def test_maps_are_shown_as_on_the_pages():
    assert row_of("sub-01_Chimap.nii.gz").style == "chi"
    assert row_of("Chimap.nii.gz").style == "chi"
    assert row_of("sub-01_model-tensor_param-fa_dwimap.nii.gz").style == "fa"
    assert row_of("anything.nii.gz") is None
