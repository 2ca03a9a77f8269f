"""The interactive page draws the maps of a session and shows the values of their files."""

from __future__ import annotations

import base64
import gzip
import re

import nibabel as nib
import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.report import vendor, volume_page
from qsmengine.report.panels import Panel
from qsmengine.report.records import find_series
from qsmengine.report.volume_page import regions_of, write_volume_page
from qsmengine.report.volumes import MARGIN, layers_of
from tests.report.axe import audit
from tests.report.chromium import opened, started
from tests.report.results import write_session

SHAPE, LOW, HIGH = (30, 28, 26), (6, 7, 8), (22, 20, 19)
ROTATED = np.array([[-2.0, 0.1, 0, 25], [0.1, 1.9, 0.4, -20], [0, -0.4, 2.1, -18], [0, 0, 0, 1]])
INSIDE = tuple(slice(a, b) for a, b in zip(LOW, HIGH, strict=True))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A session with chi [ppm], R2*, a mask, and two named regions on an oblique grid."""
    folder = tmp_path_factory.mktemp("volumes")
    place, rng = write_session(folder, "sub-01"), np.random.default_rng(6)
    grid, mask = Grid(SHAPE, ROTATED), np.zeros(SHAPE, np.uint8)
    mask[INSIDE] = 1
    write_image(place / "sub-01_Chimap.nii.gz", (rng.normal(0, 0.1, SHAPE) * mask).astype("f4"), grid)
    write_image(place / "sub-01_R2starmap.nii.gz", (rng.uniform(1, 90, SHAPE) * mask).astype("f4"), grid)
    write_image(place / "sub-01_desc-brain_mask.nii.gz", mask, grid)
    labels = mask + (np.arange(SHAPE[0])[:, None, None] > 14) * mask
    write_image(place / "sub-01_dseg.nii.gz", labels, grid)
    (place / "sub-01_dseg.tsv").write_text("index\tname\n1\tleft <part>\n2\tright part\n")
    return folder


@pytest.fixture(scope="module")
def page(out):
    return write_volume_page(out, "sub-01", find_series(out))


@pytest.fixture(scope="module")
def browser():
    with started() as found:
        yield found


def embedded(layer):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(layer.data)))


def test_layers_hold_the_values_of_the_file_at_the_same_places(out):
    place = out / "sub-01" / "anat"
    chi, r2star = place / "sub-01_Chimap.nii.gz", place / "sub-01_R2starmap.nii.gz"
    panels = [Panel(chi, "chi", "chi"), Panel(chi, "chi again", "chi"), Panel(r2star, "R2*", "r2star")]
    (first, second), notes = layers_of(panels, place / "sub-01_desc-brain_mask.nii.gz", 10**7)
    assert (first.label, first.unit, first.low, first.high, notes) == ("chi", "ppb", -100.0, 100.0, [])
    for layer, path, factor, error in ((first, chi, 1000, 0.5), (second, r2star, 1, second.step / 2)):
        image, (values, grid, *_) = embedded(layer), read_image(path)
        assert image.get_data_dtype() == np.int16
        assert image.shape == tuple(b - a + 2 * MARGIN for a, b in zip(LOW, HIGH, strict=True))
        shown = np.asarray(image.dataobj) * layer.step
        box = tuple(slice(a - MARGIN, b + MARGIN) for a, b in zip(LOW, HIGH, strict=True))
        np.testing.assert_allclose(shown, values[box] * factor, atol=1.001 * error)
        corner = image.affine @ [0, 0, 0, 1]
        np.testing.assert_allclose(corner, grid.affine @ [*(part.start for part in box), 1], atol=1e-4)


def test_too_large_maps_are_left_out_or_thinned_and_the_page_says_so(out):
    place = out / "sub-01" / "anat"
    panels = [Panel(place / "sub-01_Chimap.nii.gz", "chi", "chi")]
    (whole,), _ = layers_of(panels, None, 10**7)
    (thin,), notes = layers_of(panels, None, len(whole.data) // 4)
    assert len(thin.data) <= len(whole.data) // 4
    np.testing.assert_array_equal(
        np.asarray(embedded(thin).dataobj), np.asarray(embedded(whole).dataobj)[::2, ::2, ::2]
    )
    assert notes == ["one voxel of 2 along each axis is shown"]
    copies = []
    for number in range(5):
        path = place / f"copy-{number}.nii.gz"
        path.write_bytes(panels[0].path.read_bytes())
        copies.append(Panel(path, f"map {number}", "chi"))
    few, notes = layers_of(copies, None, int(3.5 * len(whole.data)))
    assert [layer.label for layer in few] == ["map 0", "map 1", "map 2"]
    assert notes == ["left out because the page would be too large: map 3, map 4"]
    assert layers_of(panels, None, 10) == ([], ["left out because the page would be too large: chi"])


def test_crosshair_shows_the_values_of_the_files_to_a_ppb(out, page, browser, rng):
    place = out / "sub-01" / "anat"
    chi, grid = read_image(place / "sub-01_Chimap.nii.gz")[:2]
    r2star = read_image(place / "sub-01_R2starmap.nii.gz")[0]
    with opened(browser, page) as shown:
        shown.wait_for_selector("html[data-ready]")
        canvas = shown.locator("#canvas")
        canvas.focus()
        seen = set()
        for key in rng.choice(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown"], 24):
            shown.keyboard.press(key)
            text = shown.locator("#place").inner_text()
            world = [float(part) for part in re.findall(r"-?\d+\.\d", text)]
            voxel = np.rint(np.linalg.inv(grid.affine) @ [*world, 1])[:3].astype(int)
            cells = shown.locator("#values td").all_inner_texts()
            assert abs(float(cells[1]) - 1000 * chi[tuple(voxel)]) <= 1.0
            assert abs(float(cells[4]) - r2star[tuple(voxel)]) <= 0.02
            assert cells[7] == ("left <part>" if voxel[0] <= 14 else "right part")
            seen.add(tuple(voxel))
        assert len(seen) > 5


def test_keys_and_fields_choose_layer_window_and_overlay(page, browser):
    with opened(browser, page) as shown:
        shown.wait_for_selector("html[data-ready]")
        assert shown.locator("#low").input_value() == "-100"
        dark = shown.locator("#canvas").screenshot()
        shown.locator("#high").fill("30")
        assert shown.locator("#canvas").screenshot() != dark
        shown.locator("#canvas").focus()
        shown.keyboard.press("2")
        assert shown.locator("#high").input_value() == "60"
        plain = shown.locator("#canvas").screenshot()
        shown.keyboard.press("o")
        assert shown.locator("#opacity").input_value() == "0.5"
        assert shown.locator("#canvas").screenshot() != plain
        sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        for width in (390, 1280, 1920):
            shown.set_viewport_size({"width": width, "height": 900})
            content, window = shown.evaluate(sizes)
            assert content <= window <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_of_wcag_aa(page, browser, scheme):
    with opened(browser, page, color_scheme=scheme) as shown:
        shown.wait_for_selector("html[data-ready]")
        shown.locator("#canvas").focus()
        shown.keyboard.press("o")
        found = audit(shown)
    assert found["violations"] == []
    assert {"color-contrast", "label", "select-name"} <= set(found["passes"])


@pytest.mark.parametrize("same", [True, False])
def test_regions_of_another_folder_of_the_session_are_overlaid(tmp_path, same):
    place = write_session(tmp_path, "sub-01")
    grid = read_image(place / "sub-01_Chimap.nii.gz").grid
    other = grid if same else Grid((8, 9, 7), np.diag([3.0, 3.0, 3.0, 1.0]))
    write_image(place / "sub-01_desc-brain_mask.nii.gz", np.ones(grid.shape, np.uint8), grid)
    for folder, shape in (("dwi", Grid((5, 5, 5), np.eye(4))), ("t1w", other)):
        path = tmp_path / "sub-01" / folder / "sub-01_desc-dgm_dseg.nii.gz"
        path.parent.mkdir()
        write_image(path, np.ones(shape.shape, np.int16), shape)
        path.with_name("sub-01_desc-dgm_dseg.tsv").write_text("index\tname\n1\tpallidum\n")
    (one,) = find_series(tmp_path)
    found = regions_of(tmp_path, one, one.file("Chimap.nii.gz"))
    assert found.parent.name == ("t1w" if same else "dwi")
    text = write_volume_page(tmp_path, "sub-01", [one]).read_text()
    assert '"names": {"1": "pallidum"}' in text
    assert "placed by scanner coordinates" in text


def test_page_is_below_its_limit_and_links_back(page):
    text = page.read_text()
    assert page.stat().st_size <= volume_page.LARGEST
    assert 'href="sub-01.html"' in text
    assert "left <part>" not in text
    assert len(re.findall("sha256-", text[: text.index("</head>")])) == 3


def test_session_without_maps_has_no_interactive_page(tmp_path):
    for path in write_session(tmp_path, "sub-01").glob("*.nii.gz"):
        path.unlink()
    assert write_volume_page(tmp_path, "sub-01", find_series(tmp_path)) is None


def test_library_is_the_published_file(monkeypatch):
    assert vendor.niivue().startswith("(function")
    monkeypatch.setattr(vendor, "NIIVUE_SHA256", "0" * 64)
    with pytest.raises(InputError, match="checksum"):
        vendor.niivue()
