import math
from typing import Any, cast

import numpy as np
import pytest

from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError, UsageError
from qsmengine.io import PhaseFile, phase_to_radians, read_sidecar, read_stored
from qsmengine.io.phase import place_radians
from qsmengine.pipeline.configuration.config import load_config

PI = math.pi


@pytest.fixture
def file(save):
    """Write stored values and read them back as the loader does."""

    def _file(array, name="p.nii.gz", units=None, **fields):
        image = read_stored(save(name, array, **fields))
        return PhaseFile(image.array, image.header, units)

    return _file


@pytest.fixture
def wrapped(rng):
    """Wrapped phase that reaches both ends."""
    return ((rng.standard_normal((10, 11, 12)) * 5 + PI) % (2 * PI) - PI).clip(-PI, PI - 2e-3)


def difference(a, b):
    return np.abs(np.angle(np.exp(1j * (np.asarray(a, float) - b)))).max()


def test_radians_pass_unchanged(file, wrapped):
    (got,), notes = phase_to_radians([file(wrapped.astype(np.float32))])
    np.testing.assert_array_equal(got, wrapped.astype(np.float32))
    assert len(notes) == 1
    assert "radians" in notes[0]


@pytest.mark.parametrize(
    ("stored", "fields", "tolerance"),
    [
        (lambda p: np.floor((p + PI) * 2048 / PI).clip(0, 4095).astype(np.int16), {}, PI / 2048),
        (lambda p: np.floor((p + PI) * 2048 / PI).clip(0, 4095).astype(np.uint16), {"slope": 0.0}, PI / 2048),
        (
            lambda p: np.floor((p + PI) * 2048 / PI).clip(0, 4095).astype(np.int16),
            {"slope": 2.0, "inter": -4096.0},
            PI / 2048,
        ),
        (lambda p: np.round(p * 4096 / PI).clip(-4096, 4094).astype(np.int16), {}, PI / 4096),
        (lambda p: np.round(p * 1000).astype(np.int16), {}, 1e-3),
        (
            lambda p: np.round((p + PI) / 1.53455e-3).astype(np.int16),
            {"slope": 1.53455, "inter": -3142.0},
            2e-3,
        ),
        (lambda p: np.round((p + PI) / 1.53455e-3).astype(np.int16), {"slope": 1.53446e-3, "inter": -PI}, 2e-3),
        (lambda p: (p % (2 * PI)).astype(np.float32), {}, 1e-6),
        (lambda p: p.astype(np.float32), {"slope": 0.00117}, 1e-6),
        (lambda p: p.astype(np.float64), {"slope": 7.0, "inter": 2.0}, 1e-6),
    ],
    ids=[
        "raw",
        "raw, slope 0",
        "dcm2niix",
        "siemens",
        "mrad",
        "philips mrad",
        "philips",
        "0..2pi",
        "trap",
        "trap up",
    ],
)
def test_each_known_range_gives_the_phase_that_was_coded(file, wrapped, stored, fields, tolerance):
    (got,), notes = phase_to_radians([file(stored(wrapped), **fields)])
    assert got.dtype == np.float32
    assert difference(got, wrapped) <= tolerance * 1.01
    assert np.abs(got).max() <= PI * 1.001
    (negated,), more = phase_to_radians([file(stored(wrapped), **fields)], sign=-1)
    np.testing.assert_allclose(negated, -got, atol=1e-6)
    assert (len(notes), len(more)) == (1, 2)


def test_a_real_siemens_phase_difference_is_pi_over_4096(test_data):
    path = test_data / "siemens-gre-phantom-fieldmap" / "phasediff.nii.gz"
    image = read_stored(path)
    (got,), notes = phase_to_radians([PhaseFile(image.array, image.header, read_sidecar(path).text("Units"))])
    expected = (image.array.astype(float) * 2 - 4096) * PI / 4096
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert notes == ["phase: -4096 .. 4094 taken as Siemens units, times pi / 4096"]


def test_the_slope_trap_of_a_real_file_is_seen(test_data):
    image = read_stored(test_data / "romeo-gre-crop" / "Phase.nii.gz")
    assert image.header.slope == pytest.approx(0.00116959, rel=1e-5)
    for units in (None, "rad", "arbitrary"):
        (got,), notes = phase_to_radians([PhaseFile(image.array, image.header, units)])
        np.testing.assert_array_equal(got, image.array)
        assert "scl_slope is wrong" in notes[0]


def test_real_philips_phase_is_scaled_by_its_header(rng):
    images = [read_stored(demo_path("philips-gre-2echo-brain") / f"echo-{n}_phase.nii.gz") for n in (1, 2)]
    arrays, _ = phase_to_radians([PhaseFile(i.array, i.header) for i in images])
    for got, image in zip(arrays, images, strict=True):
        np.testing.assert_allclose(got, image.array * image.header.slope + image.header.intercept, atol=1e-6)


def test_one_rule_holds_for_all_files_though_slopes_differ(file, wrapped):
    quiet = 0.3 * wrapped
    files = [
        file(np.round((wrapped + PI) * 600).astype(np.int16), "a.nii", slope=1 / 600, inter=-PI),
        file(np.round((quiet + PI) * 500).astype(np.int16), "b.nii", slope=1 / 500, inter=-PI),
    ]
    arrays, _ = phase_to_radians(files)
    np.testing.assert_allclose(arrays[0], wrapped, atol=1e-3)
    np.testing.assert_allclose(arrays[1], quiet, atol=1.1e-3)


def test_volumes_are_placed_where_they_belong_in_any_order_of_memory(file, wrapped):
    turned = np.stack([wrapped, -wrapped], axis=3).clip(-PI, PI - 2e-3)
    stored = [np.round(part * 4096 / PI).astype(np.int16) for part in (turned, wrapped)]
    files = [file(part, f"{number}.nii") for number, part in enumerate(stored)]
    (pair, single), notes = phase_to_radians(files, sign=-1)
    first, second = (np.full((3, *wrapped.shape), np.nan, np.float32, order) for order in ("C", "F"))
    places = [[first[2], second[0]], [first[1]]]
    assert place_radians(files, places, sign=-1) == notes
    for place, expected in zip((*places[0], *places[1]), (pair[..., 0], pair[..., 1], single), strict=True):
        np.testing.assert_array_equal(place, expected)


def test_files_in_different_units_are_refused_with_both_ranges(file, wrapped):
    files = [
        file(wrapped.astype(np.float32), "a.nii"),
        file(np.round(wrapped * 4096 / PI).clip(-4096, 4094).astype(np.int16), "b.nii"),
    ]
    with pytest.raises(InputError, match=r"different units: .*a\.nii -3\.14.*b\.nii -409"):
        phase_to_radians(files)


def test_a_file_far_smaller_or_larger_than_its_series_is_refused(file, wrapped):
    siemens = file(np.round(wrapped * 4096 / PI).clip(-4096, 4094).astype(np.int16), "a.nii")
    small = file((0.5 * wrapped).astype(np.float32), "b.nii")
    with pytest.raises(InputError, match=r"b\.nii: Units: .*but the series is in siemens; set input"):
        phase_to_radians([siemens, small])
    radians = file(wrapped.astype(np.float32), "c.nii")
    with pytest.raises(InputError, match=r"d\.nii.*but the series is in rad"):
        phase_to_radians([radians, file((10 * wrapped).astype(np.float32), "d.nii")])


@pytest.mark.parametrize("scale", [0.3, 0.01, 20.0, 400.0])
def test_an_unknown_range_is_refused_with_range_and_override(file, wrapped, scale):
    with pytest.raises(
        InputError, match=r"p\.nii\.gz: Units: phase values span .* set input\.phase_units .* to rad"
    ):
        phase_to_radians([file((scale * wrapped).astype(np.float32))])


@pytest.mark.parametrize(
    ("units", "stored"),
    [
        ("-180..180", lambda p: np.degrees(p).astype(np.float32)),
        ("0..65535", lambda p: np.round((p + PI) / (2 * PI) * 65535).astype(np.uint16)),
        ("-1..1", lambda p: (p / PI).astype(np.float32)),
    ],
)
def test_two_values_can_stand_for_the_ends_of_a_turn(file, wrapped, units, stored):
    image = file(stored(wrapped))
    with pytest.raises(InputError, match="none of the known ranges"):
        phase_to_radians([image])
    (got,), notes = phase_to_radians([image], units=units)
    assert difference(got, wrapped) < 2e-4
    assert "on request" in notes[0]


@pytest.mark.parametrize("units", ["180..-180", "1..1", "-180", "a..b", "-180..1e9", "..", "1" * 40 + "..2"])
def test_other_texts_are_no_range(file, wrapped, units):
    with pytest.raises(InputError, match=r"phase_units: .* is unknown"):
        phase_to_radians([file(wrapped.astype(np.float32))], units=units)
    with pytest.raises(UsageError, match="phase_units"):
        load_config(settings=[f"input.phase_units={units}"])


def test_siemens_phase_without_wraps_is_not_taken_for_milliradians(file, wrapped):
    stored = np.round(0.74 * wrapped * 4096 / PI).astype(np.int16)
    assert 2900 < stored.max() < 3142
    with pytest.raises(InputError, match="none of the known ranges"):
        phase_to_radians([file(stored)])
    (got,), _ = phase_to_radians([file(stored)], units="siemens")
    assert difference(got, 0.74 * wrapped) < 1e-3


def test_declared_radians_are_respected_and_checked(file, wrapped):
    short = (0.3 * wrapped).astype(np.float32)
    np.testing.assert_array_equal(phase_to_radians([file(short, units="rad")])[0][0], short)
    with pytest.raises(
        InputError, match=r"the sidecar's unit is rad, but the values span -409.*which is siemens"
    ):
        phase_to_radians([file(np.round(wrapped * 4096 / PI).clip(-4096, 4094).astype(np.int16), units="rad")])
    with pytest.raises(InputError, match=r"span -31.*but the series is in rad"):
        phase_to_radians([file((10 * wrapped).astype(np.float32), units="rad")])
    with pytest.raises(InputError, match="'degrees' is neither"):
        phase_to_radians([file(wrapped.astype(np.float32), units="degrees")])


def test_the_override_decides_and_is_checked(file, wrapped):
    quiet = np.round(0.2 * wrapped * 4096 / PI).astype(np.int16)
    np.testing.assert_allclose(
        phase_to_radians([file(quiet)], units="siemens")[0][0], 0.2 * wrapped, atol=PI / 4096
    )
    with pytest.raises(InputError, match=r"outside -3.14159 .. 3.14159 of rad"):
        phase_to_radians([file(quiet)], units="rad")
    with pytest.raises(InputError, match="'hz' is unknown"):
        phase_to_radians([file(quiet)], units=cast("Any", "hz"))


def test_constant_phase_is_refused_per_volume(file, wrapped):
    with pytest.raises(InputError, match=r"constant \(0\) in every voxel: no signal"):
        phase_to_radians([file(np.zeros((4, 4, 4), np.float32))])
    series = np.stack([wrapped, np.full_like(wrapped, 1.5)], axis=3).astype(np.float32)
    with pytest.raises(InputError, match=r"constant \(1.5\) in volume 2"):
        phase_to_radians([file(series)])
    with pytest.raises(InputError, match="no finite"):
        phase_to_radians([file(np.full((4, 4, 4), np.nan, np.float32))])


def test_unusable_values_do_not_disturb_the_decision(file, wrapped):
    array = wrapped.astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    (got,), notes = phase_to_radians([file(array)])
    assert "taken as radians" in notes[0]
    np.testing.assert_array_equal(got, array)


def test_a_sign_other_than_one_is_refused(file, wrapped):
    with pytest.raises(InputError, match="phase_sign: 2"):
        phase_to_radians([file(wrapped.astype(np.float32))], sign=2)
