"""Results in memory are drawn as on the pages."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qsmengine.errors import DeviceError, InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.pipeline.run.results import RunResult

GRID = Grid.from_voxel_size((14, 16, 12), (2.0, 2.0, 2.0), field_strength=3.0)


def result(rng, units):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:-2, 2:-2, 2:-2] = 1
    maps = {name: rng.normal(size=GRID.shape).astype("f4") for name in units}
    return RunResult({**maps, "brain_mask": mask}, {**units, "brain_mask": "1"}, GRID, ())


def shown(plot):
    """Windows of the rows, and their units."""
    drawn = plot.figure.axes
    windows = [axes.images[0].get_clim() for axes in drawn if axes.images]
    return windows[::3], [axes.get_title(loc="left") for axes in drawn if axes.get_title(loc="left")]


def test_susceptibility_is_drawn_in_the_windows_of_the_page(rng):
    found = result(rng, {"chi": "ppm", "local_field": "ppm", "r2star": "1/s", "quality": "1"})
    windows, units = shown(found.plot())
    assert windows == [(-0.05, 0.05), (-0.1, 0.1), (0.0, 60.0)]
    assert units == ["ppm", "ppm", "1/s"]


def test_diffusivity_has_its_unit_and_slices_pass_through_the_point(rng):
    found = result(rng, {"fa": "1", "md": "mm^2/s"})
    windows, units = shown(found.plot(["md"], centre=(0.0, 0.0, 0.0)))
    assert windows == [(0.0, 3.0)]
    assert units == ["10⁻³ mm²/s"]
    plot = found.plot(["fa"], centre=(0.0, 0.0, 0.0))
    plane = plot.figure.axes[0].images[0].get_array()
    z = round(float(np.linalg.solve(GRID.affine, [0, 0, 0, 1])[2]))
    np.testing.assert_allclose(plane, found["fa"][..., z].T)


def test_maps_that_no_page_shows_are_drawn_by_name(rng):
    windows, units = shown(result(rng, {"chi": "ppm", "quality": "1"}).plot(["quality"]))
    assert len(windows) == 1
    assert units == ["1"]


def test_notebooks_show_a_picture_and_files_hold_the_same(rng, tmp_path):
    plot = result(rng, {"chi": "ppm"}).plot()
    picture = plot._repr_png_()
    assert picture.startswith(b"\x89PNG")
    plot.save(tmp_path / "chi.png")
    assert (tmp_path / "chi.png").read_bytes() == picture


def test_what_cannot_be_drawn_is_refused(rng):
    found = result(rng, {"chi": "ppm"})
    with pytest.raises(UsageError, match="no map 'fa'; there are chi, brain_mask"):
        found.plot(["fa"])
    with pytest.raises(InputError, match="outside the image"):
        found.plot(centre=(0.0, 0.0, 900.0))
    with pytest.raises(InputError, match="nothing to show"):
        result(rng, {}).plot()
    found.maps["chi"] = np.zeros((3, 3))
    with pytest.raises(UsageError, match="only images"):
        found.plot()


def test_without_matplotlib_the_way_to_install_it_is_named(rng, monkeypatch):
    monkeypatch.delitem(sys.modules, "qsmengine.report.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DeviceError, match=r"qsmengine\[report\]"):
        result(rng, {"chi": "ppm"}).plot()


def test_results_load_no_report_before_they_are_drawn():
    code = "import sys, qsmengine.pipeline.run.results; assert 'qsmengine.report' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
