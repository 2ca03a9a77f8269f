import json
import math
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError, UsageError
from qsmengine.io import load_gre

TIMES = (0.004, 0.009, 0.021)
SHAPE = (9, 8, 7)


@pytest.fixture
def files(save, truth):
    """Echoes as 3-D files with sidecars, given in the order 3, 1, 2 by name."""

    def _files(**changes):
        out: dict[str, Any] = {"magnitude": [], "phase": []}
        for echo in (2, 0, 1):
            sidecar = {"EchoTime": TIMES[echo], "MagneticFieldStrength": 3} | changes.get("sidecar", {})
            for part, array in zip(("magnitude", "phase"), truth, strict=True):
                name = f"sub-1_echo-{3 - echo}_part-{part[:3]}_MEGRE.nii.gz"
                out[part].append(save(name, array[..., echo], sidecar=sidecar))
        return out

    return _files


def check(loaded, truth, order=(0, 1, 2)):
    series = loaded.series
    for got, expected in zip((series.magnitude, series.phase), truth, strict=True):
        np.testing.assert_allclose(got, expected[..., list(order)], rtol=1e-5, atol=2e-6)
        assert np.moveaxis(got, 3, 0).flags.c_contiguous
        assert got.dtype == np.float32


def test_files_are_ordered_by_echo_time_not_by_name(files, truth):
    given = files()
    loaded = load_gre(**given)
    check(loaded, truth)
    assert loaded.series.echo_times == TIMES
    assert loaded.series.grid.field_strength == 3.0
    mixed = load_gre(given["magnitude"], given["phase"][::-1])
    check(mixed, truth)
    assert set(loaded.sources) >= {*given["magnitude"], *given["phase"]}
    assert sum(path.suffix == ".json" for path in loaded.sources) == 6


def test_4d_files_take_their_times_from_the_arguments(save, truth):
    loaded = load_gre(save("m.nii.gz", truth[0]), save("p.nii", truth[1]), echo_times=TIMES, field_strength=7)
    check(loaded, truth)
    shuffled = load_gre(
        save("m.nii.gz", truth[0]), save("p.nii", truth[1]), echo_times=[0.009, 0.021, 0.004], field_strength=7
    )
    check(shuffled, truth, order=(2, 0, 1))
    assert shuffled.series.echo_times == TIMES


def test_a_4d_file_may_list_its_times_in_the_sidecar(save, truth):
    facts = {"EchoTime": list(TIMES), "MagneticFieldStrength": "3"}
    loaded = load_gre(save("m.nii", truth[0], sidecar=facts), save("p.nii", truth[1]))
    check(loaded, truth)
    assert any("read as a number" in note for note in loaded.notes)
    with pytest.raises(InputError, match=r"m\.json: EchoTime: 1 echo times for 3 volumes"):
        load_gre(save("m.nii", truth[0], sidecar={"EchoTime": 0.004}), save("p.nii", truth[1]))


def test_complex_and_real_imaginary_files_give_magnitude_and_phase(save, truth):
    signal = (truth[0] * np.exp(1j * truth[1])).astype(np.complex64)
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3.0}
    check(load_gre(save("c.nii.gz", signal), **facts), truth)
    parts: dict[str, Any] = {"real": save("r.nii", signal.real), "imag": save("i.nii", signal.imag)}
    check(load_gre(**parts, **facts), truth)
    flipped = load_gre(**parts, **facts, phase_sign=-1)
    np.testing.assert_allclose(flipped.series.phase, -truth[1], atol=1e-5)


def test_images_that_are_no_real_and_imaginary_parts_are_refused(save, truth):
    signal = truth[0] * np.exp(1j * truth[1])
    real, imag = save("r.nii", signal.real), save("i.nii", signal.imag)
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3.0}
    with pytest.raises(InputError, match=r"r\.nii: imag: the imaginary part is the same image"):
        load_gre(real=real, imag=real, **facts)
    magnitude, phase = save("m.nii", truth[0]), save("p.nii", truth[1])
    with pytest.raises(InputError, match=r"p\.nii: imag: .*these are magnitude and phase"):
        load_gre(real=magnitude, imag=phase, **facts)
    shift = 2 * np.abs(signal).max()
    unsigned = {"real": save("s.nii", signal.real + shift), "imag": save("t.nii", signal.imag + shift)}
    with pytest.raises(InputError, match=r"s\.nii: real: neither .* has a negative value"):
        load_gre(**unsigned, **facts)
    load_gre(real=imag, imag=real, **facts)


def test_the_phase_sign_turns_the_phase(files, truth):
    loaded = load_gre(**files(), phase_sign=-1)
    np.testing.assert_allclose(loaded.series.phase, -truth[1], atol=1e-6)
    assert any("sign reversed" in note for note in loaded.notes)


@pytest.mark.parametrize("form", ["real and imaginary", "complex", "phase"])
def test_alternating_slices_are_corrected_in_every_form(save, form):
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    phase = (2.5 * x * y + 0.8 * z)[..., None] * (1.0, 1.3) + 0.2
    signal = (50 * np.exp(1j * phase)).astype(np.complex64)
    turned = signal.copy()
    turned[:, :, 1::2] *= -1
    facts: dict[str, Any] = {"echo_times": TIMES[:2], "field_strength": 3.0}
    given: dict[str, Any] = {
        "real and imaginary": {"real": save("r.nii", turned.real), "imag": save("i.nii", turned.imag)},
        "complex": {"magnitude": save("c.nii", turned)},
        "phase": {"magnitude": save("m.nii", np.abs(turned)), "phase": save("p.nii", np.angle(turned))},
    }[form]
    loaded = load_gre(**given, **facts)
    assert np.abs(np.angle(np.exp(1j * (loaded.series.phase - phase)))).max() < 1e-5
    assert any("every second slice rotated by pi" in note for note in loaded.notes)
    kept = load_gre(**given, **facts, slice_alternation=False)
    assert np.abs(np.angle(np.exp(1j * kept.series.phase) / turned)).max() < 1e-5


def test_images_of_ge_scanners_get_a_note_about_the_sign(files):
    named = {"sidecar": {"Manufacturer": "GE MEDICAL SYSTEMS"}}
    assert any("GE scanners" in note for note in load_gre(**files(**named)).notes)
    assert not any("GE scanners" in note for note in load_gre(**files(**named), phase_sign=-1).notes)
    other = files(sidecar={"Manufacturer": "Siemens"})
    assert not any("GE scanners" in note for note in load_gre(**other).notes)


def test_parts_that_are_no_series_are_refused(files, save, truth):
    given = files()
    for parts in ({}, {"phase": given["phase"]}, {"real": given["phase"]}, given | {"real": given["phase"]}):
        with pytest.raises(UsageError, match="needed are magnitude and phase"):
            load_gre(**parts)
    with pytest.raises(InputError, match="magnitude needs phase too"):
        load_gre(given["magnitude"])
    with pytest.raises(InputError, match=r"c\.nii: datatype: phase is complex"):
        load_gre(given["magnitude"][0], save("c.nii", truth[1][..., 0].astype(np.complex64)))


@pytest.mark.parametrize("field", ["EchoTime", "MagneticFieldStrength"])
def test_a_field_found_nowhere_names_file_field_and_search(files, field):
    with pytest.raises(InputError) as caught:
        load_gre(**files(sidecar={field: None}))
    text = str(caught.value)
    assert "echo-1_part-mag_MEGRE.nii.gz: " + field in text
    assert "part-mag_MEGRE.json" in text
    assert "more next to the images" in text
    assert "give " in text


def test_milliseconds_are_refused_with_the_right_seconds(files):
    with pytest.raises(InputError, match=r"MEGRE\.json: EchoTime: .*if these are milliseconds, use 0\.004"):
        load_gre(**files(sidecar={"EchoTime": 4.0}))
    with pytest.raises(InputError, match=r"use 0\.004 0\.008 0\.012"):
        load_gre(**files(), echo_times=[4, 8, 12])


def test_only_a_unit_that_fits_all_echo_times_is_suggested(files):
    with pytest.raises(InputError, match=r"if these are microseconds, use 0\.004 0\.008 0\.012"):
        load_gre(**files(), echo_times=[4000, 8000, 12000])
    with pytest.raises(InputError, match="echo times are in seconds") as caught:
        load_gre(**files(), echo_times=[0.004, 0.008, 12])
    assert "use" not in str(caught.value)


def test_field_strength_that_contradicts_the_imaging_frequency_is_refused(files):
    stated = {"MagneticFieldStrength": 1.5, "ImagingFrequency": 123.2}
    with pytest.raises(
        InputError, match=r"1\.5 T, but ImagingFrequency 123\.2 MHz .* 2\.89 T.*--field-strength"
    ):
        load_gre(**files(sidecar=stated))
    assert load_gre(**files(sidecar=stated), field_strength=3.0).series.grid.field_strength == 3.0
    for more in ({"MagneticFieldStrength": 3.0}, {"ImagedNucleus": "23Na"}, {"ImagingFrequency": "unknown"}):
        assert load_gre(**files(sidecar=stated | more)).series.grid.field_strength in {1.5, 3.0}


def test_arguments_win_over_sidecars_with_a_note(files, truth):
    loaded = load_gre(**files(sidecar={"EchoTime": 4.0}), echo_times=[0.03, 0.01, 0.02], field_strength=1.5)
    check(loaded, truth)
    assert loaded.series.echo_times == (0.01, 0.02, 0.03)
    assert loaded.series.grid.field_strength == 1.5
    assert any("the given field strength 1.5 T" in note for note in loaded.notes)
    other = load_gre(**files(), echo_times=[0.03, 0.01, 0.02])
    assert any("echo times" in note for note in other.notes)


def test_equal_echo_times_are_refused(files):
    with pytest.raises(InputError, match=r"EchoTime: .*not ascending and distinct; give the echoes"):
        load_gre(**files(sidecar={"EchoTime": 0.004}))


def test_parts_that_disagree_are_refused(files):
    given = files()
    path = given["phase"][0].with_name(given["phase"][0].name.replace(".nii.gz", ".json"))
    path.write_text(json.dumps({"EchoTime": 0.022, "MagneticFieldStrength": 3}))
    with pytest.raises(InputError, match=r"EchoTime: .*0\.022.* in the other parts"):
        load_gre(**given)
    path.write_text(json.dumps({"EchoTime": TIMES[2], "MagneticFieldStrength": 7}))
    with pytest.raises(InputError, match=r"MagneticFieldStrength: 7 T, .* has 3 T"):
        load_gre(**given)
    with pytest.raises(InputError, match="phase: 2 volumes, magnitude has 3"):
        load_gre(given["magnitude"], given["phase"][:2])
    with pytest.raises(InputError, match="EchoTime: 2 given, there are 3 volumes"):
        load_gre(**given, echo_times=[0.1, 0.2])


def test_a_field_strength_in_gauss_is_refused(files):
    with pytest.raises(InputError, match=r"MagneticFieldStrength: 30000.0 T is not a valid field strength"):
        load_gre(**files(sidecar={"MagneticFieldStrength": 30000}))


def test_grids_that_differ_are_refused_with_both(files, save, truth):
    given = files()
    other = save("p.nii", truth[1][:-1, ..., 0], sidecar={"EchoTime": TIMES[0]})
    with pytest.raises(InputError, match=r"p\.nii: dim: has shape \(8, 8, 7\), not \(9, 8, 7\)"):
        load_gre(given["magnitude"], [*given["phase"][:2], other])
    for part, fits in ((0.008, True), (0.02, False)):
        affine = nib.load(given["magnitude"][0]).affine.copy()
        affine[0, 3] += part * min(np.linalg.norm(affine[:3, :3], axis=0))
        moved = save("q.nii", truth[1][..., 1], affine=affine, sidecar={"EchoTime": TIMES[1]})
        phases = [*given["phase"][:2], moved]
        if fits:
            load_gre(given["magnitude"], phases)
        else:
            with pytest.raises(InputError, match=r"q\.nii: affine: has the affine \[\[.*not \[\["):
                load_gre(given["magnitude"], phases)


def test_five_dimensions_are_refused(save):
    path = save("m.nii", np.ones((3, 3, 3, 2, 2), np.float32))
    with pytest.raises(InputError, match=r"dim: has shape \(3, 3, 3, 2, 2\)"):
        load_gre(path, path, echo_times=[0.1], field_strength=3)


def test_the_real_two_echo_head_loads_as_nibabel_reads_it():
    folder = demo_path("philips-gre-2echo-brain")
    loaded = load_gre(sorted(folder.glob("*_mag.nii.gz"))[::-1], sorted(folder.glob("*_phase.nii.gz")))
    assert loaded.series.echo_times == (0.0023, 0.0046)
    assert loaded.series.grid.field_strength == 3.0
    for echo in (1, 2):
        for part, got in (("mag", loaded.series.magnitude), ("phase", loaded.series.phase)):
            expected = nib.load(folder / f"echo-{echo}_{part}.nii.gz").get_fdata()
            np.testing.assert_allclose(got[..., echo - 1], expected, rtol=1e-6, atol=1e-6)


def test_the_real_crop_loads_with_its_slope_trap(test_data):
    folder = test_data / "romeo-gre-crop"
    loaded = load_gre(
        folder / "Mag.nii.gz", folder / "Phase.nii.gz", echo_times=(0.004, 0.008, 0.012), field_strength=3
    )
    assert loaded.series.phase.shape == (51, 51, 41, 3)
    assert loaded.series.phase.max() == pytest.approx(math.pi, abs=1e-5)
    np.testing.assert_array_equal(
        loaded.series.phase, np.asarray(nib.load(folder / "Phase.nii.gz").dataobj.get_unscaled())
    )
