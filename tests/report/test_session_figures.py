"""Figures of a session's page: pictures of the raw echoes, lightboxes, projections, outlines, measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.data import GreSeries
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.modalities.gre.pictures import pictures
from qsmengine.modalities.gre.quality import MEASURES
from qsmengine.modalities.gre.residuals import phase_residuals, unwrapped_phase
from qsmengine.modalities.quality import quality_table
from qsmengine.modalities.style import Style
from qsmengine.report.figures import REDUCTIONS, draw_planes
from qsmengine.report.frame import frame_of
from qsmengine.report.mosaics import COLUMNS, ROWS, draw_echoes, draw_lightbox
from qsmengine.report.panels import picture_of
from qsmengine.report.raw import raw_series
from qsmengine.report.records import find_series
from qsmengine.report.session_figures import drawn_of, figures_of, panels_of
from qsmengine.units import hz_per_ppm, rad_per_ppm
from tests.report.results import write_session

TESLA, TIMES = 3.0, (0.004, 0.012, 0.020)
GRID = Grid.from_voxel_size((12, 11, 10), (2.0, 2.0, 2.0), field_strength=TESLA)
GREY = Style("gray", (0.0, 1.0), "")


def wrapped(phase):
    return np.angle(np.exp(1j * phase)).astype("f4")


@pytest.fixture(scope="module")
def field():
    x = np.linspace(-1.0, 1.0, GRID.shape[0])[:, None, None]
    return np.broadcast_to(0.4 * x, GRID.shape).astype("f4")


@pytest.fixture(scope="module")
def brain():
    mask = np.zeros(GRID.shape, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return mask


@pytest.fixture(scope="module")
def series(field):
    """Echoes of the field with an offset; one voxel of the last echo is off by 2 rad."""
    phase = [0.5 + rad_per_ppm(TESLA, time) * field for time in TIMES]
    phase[2] = phase[2].copy()
    phase[2][5, 5, 5] += 2.0
    stack = np.stack([wrapped(one) for one in phase], axis=-1)
    return GreSeries(np.full_like(stack, 100.0), stack, TIMES, GRID)


def test_residuals_ignore_offset_and_wraps_and_find_other_phase(series, field, brain):
    (rest,) = phase_residuals(series, field, brain)
    found = np.zeros(GRID.shape)
    found[brain] = rest
    assert found[5, 5, 5] == pytest.approx(2.0, abs=1e-4)
    found[5, 5, 5] = 0.0
    np.testing.assert_allclose(found, 0.0, atol=1e-4)


def test_unwrapped_phase_is_that_of_the_field_between_the_echoes(series, field, brain):
    phase = unwrapped_phase(series, field, brain)
    expected = np.where(brain, rad_per_ppm(TESLA, TIMES[2] - TIMES[0]) * field, 0.0)
    expected[5, 5, 5] += 2.0
    np.testing.assert_allclose(phase, expected, atol=1e-3)
    assert np.abs(expected).max() > np.pi
    single = GreSeries(series.magnitude[..., :1], series.phase[..., :1], TIMES[:1], GRID)
    alone = unwrapped_phase(single, field, brain)
    np.testing.assert_allclose(alone[brain], wrapped(single.phase[..., 0])[brain], atol=1e-3)


@pytest.fixture
def folder(tmp_path, series, field, brain):
    """Maps of a session in ``maps``, and its raw echoes in ``raw``, linked to it."""
    raw, out = tmp_path / "raw", tmp_path / "maps"
    inputs = []
    for echo, time in enumerate(TIMES):
        for part, values in (("mag", series.magnitude), ("phase", series.phase)):
            name = f"sub-01/anat/sub-01_echo-{echo + 1}_part-{part}_MEGRE.nii.gz"
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            write_image(raw / name, np.ascontiguousarray(values[..., echo]), GRID)
            facts = {"EchoTime": time, "MagneticFieldStrength": TESLA}
            (raw / name.replace(".nii.gz", ".json")).write_text(json.dumps(facts))
            inputs.append({"File": name.rpartition("/")[2], "URI": f"bids:raw:{name}"})
    place = write_session(out, "sub-01", Inputs=inputs, Configuration={"input": {"phase_sign": 1}})
    write_image(place / "sub-01_desc-total_fieldmap.nii.gz", field * np.float32(hz_per_ppm(TESLA)), GRID)
    write_image(place / "sub-01_desc-brain_mask.nii.gz", brain.astype(np.uint8), GRID)
    (out / "dataset_description.json").write_text(json.dumps({"DatasetLinks": {"raw": raw.as_uri()}}))
    return out


def test_raw_echoes_are_drawn_with_their_unwrapped_phase_and_residual(folder, series, brain):
    (one,) = find_series(folder)
    echoes, unwrapped, residual = drawn_of(one, folder)
    assert echoes.names == ("4 ms", "12 ms", "20 ms")
    np.testing.assert_allclose(echoes.below[0], series.phase, atol=1e-5)
    assert unwrapped.label.startswith("unwrapped")
    assert residual.values[5, 5, 5] == pytest.approx(2.0, abs=1e-3)
    assert not residual.values[~brain].any()


def test_page_works_without_the_raw_images_and_reports_damaged_ones(folder):
    (one,) = find_series(folder)
    image = folder.parent / "raw/sub-01/anat/sub-01_echo-2_part-phase_MEGRE.nii.gz"
    content = image.read_bytes()
    image.write_bytes(content[:60])
    shown, missing = figures_of(one, "Susceptibility mapping", folder, None)
    assert "echo-2_part-phase" in missing
    image.unlink()
    assert raw_series(folder, one) is None
    again, nothing = figures_of(one, "Susceptibility mapping", folder, None)
    assert ([f.alt for f in again], nothing) == ([f.alt for f in shown], "")


def test_pictures_need_the_maps_of_the_same_voxels(folder):
    (one,) = find_series(folder)
    other = Grid.from_voxel_size((10, 11, 10), (2.0, 2.0, 2.0), field_strength=TESLA)
    write_image(one.file("desc-brain_mask.nii.gz"), np.ones(other.shape, np.uint8), other)
    _, missing = figures_of(one, "Susceptibility mapping", folder, None)
    assert "desc-brain_mask" in missing
    one.file("desc-brain_mask.nii.gz").unlink()
    assert pictures(raw_series(folder, find_series(folder)[0])) == []


def test_measures_stand_under_their_figures(folder):
    from qsmengine.report.quality import quality_beside

    (one,) = find_series(folder)
    values: dict[str, float | str | None] = {
        "streak_score": 4.0,
        "iron_contrast": 20.0,
        "solver_stopped": "converged",
        "snr": 50.0,
    }
    one.file("desc-quality_qsm.tsv").write_text(quality_table(MEASURES, values))
    shown, _ = figures_of(one, "x", folder, quality_beside(one.folder, one.stem, one.kind))
    chips = {chip.label: (figure.alt, chip) for figure in shown for chip in figure.chips}
    alt, streaks = chips["streaks of chi"]
    assert "chi, ±100 ppb" in alt
    assert (streaks.value, streaks.light) == ("4", "red")
    assert chips["stopped by"][1].light is None
    assert "magnitude and phase" in chips["SNR of the first echo"][0]


def test_regions_on_the_grid_of_chi_are_outlined_and_switch_off(folder):
    (one,) = find_series(folder)
    labels = np.zeros(GRID.shape, np.int16)
    labels[4:7, 4:7, 4:7] = 3
    write_image(one.file("desc-dgm_dseg.nii.gz"), labels, GRID)
    (one,) = find_series(folder)
    switched = [figure for figure in figures_of(one, "x", folder, None)[0] if figure.bare]
    assert [figure.alt.endswith("with outlines") for figure in switched] == [True]
    assert switched[0].bare != switched[0].picture
    other = Grid.from_voxel_size((10, 11, 10), (2.0, 2.0, 2.0))
    write_image(one.file("desc-dgm_dseg.nii.gz"), labels[:10], other)
    assert all(panel.labels is None for panel in panels_of(find_series(folder)[0]))


@pytest.mark.parametrize("layout", ["largest", "smallest"])
def test_projections_hold_the_extremes_of_the_slab(layout, rng):
    values = rng.random(GRID.shape).astype("f4")
    picture = picture_of(values, GRID, np.ones(GRID.shape), GREY, None)
    frame = frame_of([picture])
    figure = draw_planes("x", picture, frame, layout)
    shown = figure.axes[0].images[0].get_array()
    z = frame.voxel(picture)[2]
    np.testing.assert_allclose(shown, REDUCTIONS[layout](values[..., max(0, z - 4) : z + 5], axis=2).T)


def test_lightbox_climbs_through_the_mask(rng):
    values = np.broadcast_to(np.linspace(0, 1, 40, dtype="f4"), (9, 10, 40))
    grid = Grid.from_voxel_size(values.shape, (2.0, 2.0, 1.0))
    picture = picture_of(values, grid, np.ones(values.shape), GREY, None)
    figure = draw_lightbox("x", picture, frame_of([picture]))
    shown = figure.axes[0].images[0].get_array()
    rows = np.split(shown, ROWS, axis=0)[::-1]
    heights = [float(tile.mean()) for row in rows for tile in np.split(row, COLUMNS, axis=1)]
    assert heights == sorted(heights)
    assert heights[0] < 0.15
    assert heights[-1] > 0.85


def test_many_echoes_continue_below(rng):
    volumes = rng.random((*GRID.shape, 8)).astype("f4")
    row = [picture_of(volumes[..., k], GRID, np.ones(GRID.shape), GREY, None) for k in range(8)]
    figure = draw_echoes("x", [row, row], [f"{k} ms" for k in range(8)], frame_of(row))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sorted(text for text in texts if text != "R") == sorted([f"{k} ms" for k in range(8)] * 2)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    z = frame_of(row).voxel(row[0])[2]
    first = volumes[::-1, :, z, 0].T
    np.testing.assert_array_equal(shown[0][: first.shape[0], : first.shape[1]], first)
    np.testing.assert_array_equal(shown[2][: first.shape[0], : first.shape[1]], volumes[::-1, :, z, 6].T)


def test_right_is_on_the_left(rng):
    values = np.zeros(GRID.shape, "f4")
    values[-1] = 1.0
    picture = picture_of(values, GRID, np.ones(GRID.shape), GREY, None)
    shown = draw_lightbox("x", picture, frame_of([picture])).axes[0].images[0].get_array()
    assert np.flatnonzero(shown[0] == 1.0).tolist() == list(range(0, COLUMNS * GRID.shape[0], GRID.shape[0]))
