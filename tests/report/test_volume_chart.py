"""Chart of the volumes of a diffusion series, and its place on a page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.nifti import write_image
from qsmengine.modalities.dwi.description import CHARTS
from qsmengine.modalities.dwi.quality import MEASURES
from qsmengine.modalities.quality import quality_table
from qsmengine.report.canvas import png_bytes
from qsmengine.report.methods_text import paragraph
from qsmengine.report.quality import quality_beside
from qsmengine.report.records import find_series
from qsmengine.report.session_figures import figures_of
from qsmengine.report.volume_chart import draw_volumes
from tests.report.results import GRID

(CHART,) = CHARTS
NUMBERS = (1, 2, 4, 5)


@pytest.fixture
def tables(tmp_path):
    """Tables of four volumes, of which the third has lost slice 5."""
    place = tmp_path / "sub-01" / "dwi"
    place.mkdir(parents=True)
    volumes = ["volume\tb_value\tresidual\tshift", "1\t0\tn/a\tn/a"]
    volumes += [f"{number}\t1000\t{number}\t0.{number}" for number in NUMBERS[1:]]
    slices = ["volume\tslice\tsignal_change\tlost"]
    for number in NUMBERS[1:]:
        for z in range(3, 8):
            gone = (number, z) == (4, 5)
            slices.append(f"{number}\t{z}\t{-45 if gone else 0.1 * z}\t{int(gone)}")
    first, second = (place / f"sub-01_desc-{name}_dti.tsv" for name in ("volumes", "slices"))
    first.write_text("\n".join(volumes) + "\n")
    second.write_text("\n".join(slices) + "\n")
    return first, second


def test_slices_marks_and_curves_are_those_of_the_tables(tables):
    volumes, table = tables
    figure = draw_volumes(CHART, volumes, table, "Diffusion")
    strip, slices, bar, curves, shifts = figure.axes
    values = np.asarray(slices.images[0].get_array())
    assert values.shape == (7, 4)
    assert values[4, 2] == -45
    assert np.isnan(values[:, 0]).all()
    assert np.isnan(values[:2]).all()
    (frame,) = slices.collections[0].get_paths()
    assert frame.get_extents().bounds == (2.5, 4.5, 1, 1)
    assert np.asarray(strip.images[0].get_array()).tolist() == [[0, 1000, 1000, 1000]]
    np.testing.assert_array_equal(curves.get_lines()[0].get_ydata(), [np.nan, 2, 4, 5])
    np.testing.assert_array_equal(shifts.get_lines()[0].get_ydata(), [np.nan, 0.2, 0.4, 0.5])
    assert bar.get_title() == "%"
    assert png_bytes(figure) == png_bytes(draw_volumes(CHART, volumes, table, "Diffusion"))


def test_unknown_shifts_have_no_axis(tables):
    volumes, slices = tables
    volumes.write_text("volume\tb_value\tresidual\tshift\n" + "".join(f"{n}\t0\t1\tn/a\n" for n in NUMBERS))
    assert len(draw_volumes(CHART, volumes, slices, "").axes) == 4


def test_fits_that_follow_every_volume_leave_nothing_to_show(tables):
    volumes, slices = tables
    volumes.write_text("volume\tb_value\tresidual\tshift\n" + "".join(f"{n}\t9\tn/a\t1\n" for n in NUMBERS))
    slices.write_text("volume\tslice\tsignal_change\tlost\n")
    _, chart, _, curves, _ = draw_volumes(CHART, volumes, slices, "").axes
    assert [text.get_text() for text in chart.texts] == ["too few volumes to compare them with the fit"]
    assert len(chart.get_yticks()) == len(curves.get_yticks()) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [("9\t3\t0\t0", "volumes or slices"), ("2\t0\t0\t0", "volumes or slices"), ("2\tx\t0\t0", "not a number")],
)
def test_tables_that_do_not_fit_are_refused(tables, row, message):
    volumes, slices = tables
    slices.write_text(f"volume\tslice\tsignal_change\tlost\n{row}\n")
    with pytest.raises(InputError, match=message):
        draw_volumes(CHART, volumes, slices, "")
    volumes.write_text("volume\tb_value\tresidual\tshift\n")
    with pytest.raises(InputError, match="no rows"):
        draw_volumes(CHART, volumes, slices, "")


def test_the_page_shows_the_chart_with_its_measures_and_the_methods_say_what_was_found(tables):
    volumes, _ = tables
    out = volumes.parents[2]
    step = {"Stage": "diffusion", "Method": "wls", "Parameters": {}}
    losses = {"Judged": 15, "Lost": 1, "Volumes": [4]}
    record = {"Steps": [step], "SliceLoss": losses}
    volumes.with_name("sub-01_desc-dti_prov.json").write_text(json.dumps(record))
    values = {"lost_slices": 6.7, "worst_volume": 1.1, "translation": 0.5}
    volumes.with_name("sub-01_desc-quality_dti.tsv").write_text(quality_table(MEASURES, values))
    fa = volumes.with_name("sub-01_model-tensor_param-fa_dwimap.nii.gz")
    write_image(fa, np.ones(GRID.shape, np.float32), GRID)
    (series,) = find_series(out)
    quality = quality_beside(series.folder, series.stem, series.kind)
    shown = figures_of(series, "Diffusion", out, quality)[0][-1]
    assert shown.alt.startswith("slices against the fit, with residual [%] and shift [mm] of each volume")
    assert "yellow frames" in shown.caption
    assert [(chip.value, chip.light) for chip in shown.chips] == [
        ("6.7 %", "red"), ("1.1", "green"), ("0.5 mm", "green"),
    ]  # fmt: skip
    assert "1 of 15 were more than four standard deviations" in paragraph([series])
