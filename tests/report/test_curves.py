import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.report.canvas import png_bytes
from qsmengine.report.curves import CurvePanel, draw_curve

GRID = Grid((6, 7, 5), np.diag([-2.0, 2.0, 3.0, 1.0]))


@pytest.fixture
def panel(tmp_path):
    rng = np.random.default_rng(3)
    times, values = 1.5 * np.arange(30), rng.uniform(0, 50, 30)
    table = tmp_path / "aif.tsv"
    rows = [f"{t}\t{v}" for t, v in zip(times, values, strict=True)]
    table.write_text("\n".join(["time\tdr2star", *rows]) + "\n")
    mask = np.zeros(GRID.shape, bool)
    mask[1, 2, 3] = True
    write_image(tmp_path / "mask.nii.gz", mask, GRID)
    write_image(tmp_path / "cbv.nii.gz", rng.uniform(0, 5, GRID.shape).astype(np.float32), GRID)
    return CurvePanel(table, "dR2*", "1/s", tmp_path / "mask.nii.gz", tmp_path / "cbv.nii.gz"), times, values


def test_the_curve_and_its_voxels_are_drawn(panel):
    files, times, values = panel
    figure = draw_curve(files, "Perfusion")
    axial, sagittal, curve = figure.axes
    line = np.asarray(curve.get_lines()[0].get_xydata())
    assert np.abs(line - np.stack([times, values], axis=1)).max() < 1e-9
    assert curve.get_ylabel() == "dR2* [1/s]"
    shown = [np.asarray(axes.collections[0].get_offsets()).tolist() for axes in (axial, sagittal)]
    assert shown == [[[4.0, 2.0]], [[2.0, 3.0]]]  # x is flipped to point to the right
    assert png_bytes(figure) == png_bytes(draw_curve(files, "Perfusion"))


def test_a_further_column_is_drawn_on_its_axis_with_the_same_zero(panel):
    files, times, values = panel
    second = 0.05 * values - 0.1
    rows = [f"{t}\t{v}\t{b}" for t, v, b in zip(times, values, second, strict=True)]
    files.table.write_text("\n".join(["time\tdr2star\tbrain", *rows]) + "\n")
    figure = draw_curve(files._replace(second="brain", second_label="brain"), "Perfusion")
    first, other = figure.axes[-2:]
    np.testing.assert_allclose(np.asarray(other.get_lines()[0].get_ydata()), second)
    zeros = [axes.transData.transform((0.0, 0.0))[1] for axes in (first, other)]
    assert zeros[0] == pytest.approx(zeros[1], abs=0.5)
    for axes, curve in ((first, values), (other, second)):
        low, high = axes.get_ylim()
        assert low <= curve.min() < curve.max() <= high
    assert len(draw_curve(files._replace(second="none"), "Perfusion").axes) == 3


def test_a_given_curve_has_no_voxels(panel):
    files, _, _ = panel
    assert len(draw_curve(files._replace(voxels=None), "Perfusion").axes) == 1


def test_files_that_do_not_fit_are_refused(panel, tmp_path):
    files, _, _ = panel
    other = Grid((5, 7, 5), GRID.affine)
    write_image(tmp_path / "other.nii.gz", np.ones(other.shape, np.float32), other)
    with pytest.raises(InputError, match=r"mask\.nii\.gz: has shape"):
        draw_curve(files._replace(under=tmp_path / "other.nii.gz"), "Perfusion")
    files.table.write_text("time\tdr2star\n0\tx\n")
    with pytest.raises(InputError, match="two columns of numbers"):
        draw_curve(files, "Perfusion")
