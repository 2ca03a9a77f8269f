"""Whole chains on heads the size of a rat's and a mouse's: the lengths of every preset follow the object."""

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.data import GreSeries
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom import virtual_head
from qsmengine.pipeline.configuration.config import load_config, preset_names, validate

FIELD_STRENGTH = 9.4


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(6.0, 6.0, 6.0), snr=80.0, seed=4, modalities=("gre",))


def shrunk(series: GreSeries, scale: float) -> GreSeries:
    """The head at another size and field strength: phases, and so the field in ppm, are the same."""
    affine = np.array(series.grid.affine)
    affine[:3] *= scale
    ratio = series.grid.field_strength / FIELD_STRENGTH
    times = tuple(time * ratio for time in series.echo_times)
    grid = series.grid.replace(affine=affine, field_strength=FIELD_STRENGTH)
    return replace(series, grid=grid, echo_times=times)


def quick(preset):
    section = "single_step" if load_config(preset=preset).method("single_step") is not None else "inversion"
    return load_config(preset=preset, settings=[f"{section}.iterations=20"])


def error(found, expected, mask):
    return np.linalg.norm((found - expected)[mask]) / np.linalg.norm(expected[mask])


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_gives_the_same_chi_and_mask_at_any_size(head, preset):
    config = quick(preset)
    expected = run_qsm(head.gre, config, cpu())
    assert not any("size of an adult's" in note for note in expected.notes)
    for scale in (0.1, 0.3):
        found = run_qsm(shrunk(head.gre, scale), config, cpu())
        assert any("times the size of an adult's" in note for note in found.notes)
        np.testing.assert_array_equal(found["brain_mask"], expected["brain_mask"])
        np.testing.assert_array_equal(found.mask, expected.mask)
        # Lengths in another unit change the rounding, and with it a few of the edges that `tfi` finds in chi.
        assert error(found.chi, expected.chi, expected.mask) < 0.035


def test_chi_of_a_mouse_has_the_slope_of_an_adults_against_the_truth(head):
    config = quick("fast")
    slopes = []
    for scale in (1.0, 1 / 14):
        series = shrunk(head.gre, scale)
        result = run_qsm(series, config, cpu(), mask=head.mask)
        inside = np.asarray(result.mask) > 0
        truth, chi = head.truth["chi"].array[inside], result.chi[inside]
        truth = truth - truth.mean()
        slopes.append(float((chi - chi.mean()) @ truth / (truth @ truth)))
        assert result.grid == series.grid
    assert slopes[1] == pytest.approx(slopes[0], rel=0.01)
    assert slopes[0] > 0.4


def test_the_size_can_be_set_and_a_length_given_by_name_is_in_mm(head):
    scale = 0.25
    series = shrunk(head.gre, scale)
    spheres = {"background": {"method": "vsharp"}, "inversion": {"method": "tkd"}}
    plain = load_config(preset="single-echo", overrides={"phase_offset": None, **spheres})
    expected = run_qsm(head.gre, plain, cpu(), mask=head.mask)
    names = {"object_size": scale}
    sections = {"phase_offset": None, "input": names, "inversion": {"method": "tkd", "margin": 40 * scale}}
    sections["background"] = {"method": "vsharp", "max_radius": 12 * scale}
    config = load_config(preset="single-echo", overrides=sections)
    assert config.in_mm == ("background.max_radius", "inversion.margin")
    found = run_qsm(series, config, cpu(), mask=head.mask)
    assert found.facts["length_scale"] == scale
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert error(found.chi, expected.chi, expected.mask) < 1e-3
    assert validate(config.as_tree()) == config


def test_a_preset_names_no_length_in_mm_and_a_user_does():
    assert load_config(preset="consensus").in_mm == ()
    settings = ["inversion.lambda=3e-5", "inversion.iterations=10", "phase_offset.sigma=[1, 1, 1]"]
    named = load_config(preset="consensus", settings=settings)
    assert named.in_mm == ("inversion.lambda", "phase_offset.sigma")
