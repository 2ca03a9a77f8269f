from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config, preset_names
from tests.made_sessions import make_ball
from tools import gallery

SHORT = {
    "background": {"method": "vsharp", "max_radius": 6},
    "inversion": {"method": "tkd"},
    "relaxometry": {"method": "arlo"},
}


@pytest.fixture(scope="module")
def result():
    ball = make_ball(3)
    config = load_config(overrides=SHORT)
    return run_qsm(ball.series, config, cpu(), mask=ball.mask)


def changed(result, name, change):
    array = np.array(result[name])
    change(array)
    return replace(result, maps={**result.maps, name: array})


def test_every_preset_is_shown():
    assert sorted(gallery.PRESET_ORDER) == sorted(preset_names())


def test_good_maps_have_no_fault(result):
    assert gallery.implausible(result, None) == []


def test_values_that_are_not_finite_are_a_fault(result):
    def spoil(array):
        array[0, 0, 0] = np.nan

    assert "total_field has 1 values" in gallery.implausible(changed(result, "total_field", spoil), None)[0]


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_wrong_unit_of_chi_is_a_fault(result, factor):
    def scale(array):
        array *= factor

    assert "standard deviation of chi" in gallery.implausible(changed(result, "chi", scale), None)[0]


def test_a_brain_of_the_wrong_size_is_a_fault(result):
    assert "brain [ml] is" in gallery.implausible(result, (900.0, 1900.0))[0]


def test_presets_get_the_echoes_they_are_meant_for():
    series = make_ball(4).series
    last = gallery.echoes_for("single-echo", series)
    assert last.echo_times == series.echo_times[-1:]
    np.testing.assert_array_equal(last.phase[..., 0], series.phase[..., -1])
    assert gallery.echoes_for("double-echo-flash", series).echo_times == series.echo_times[:2]
    assert gallery.echoes_for("accurate", series).n_echoes == series.n_echoes


@pytest.mark.parametrize("name", ["head", "crop"])
@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_gives_plausible_maps_of_real_data(preset, name):
    (real,) = (r for r in gallery.real_sets() if r.name == name)
    solver = "inversion" if load_config(preset=preset).method("single_step") is None else "single_step"
    gallery.reconstruct(real, preset, cpu(), [f"{solver}.iterations=20"])
