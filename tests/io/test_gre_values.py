"""Values of gradient echoes that are unusable, missing, scaled or clipped."""

from typing import Any

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io import load_gre

TIMES = (0.004, 0.009, 0.021)


def test_a_few_unusable_values_become_zero_and_many_stop_the_session(save, truth):
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3}
    magnitude, phase = (array.copy() for array in truth)
    magnitude[0, 0, :3, 0] = np.nan, np.inf, -1.0
    phase[1, 1, 1, 2] = np.nan
    loaded = load_gre(save("m.nii", magnitude), save("p.nii", phase), **facts)
    assert not loaded.series.magnitude[0, 0, :2].any()
    assert loaded.series.magnitude[0, 0, 2, 0] == 0
    assert loaded.series.magnitude[0, 0, 2, 1] > 0
    assert not loaded.series.phase[1, 1, 1].any()
    assert np.argwhere(loaded.series.unknown).tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 1]]
    text = " ".join(loaded.notes)
    for part in (
        "2 of 1512 magnitude values are NaN",
        "1 of 1512 phase values",
        "1 of 1512 magnitude values are neg",
    ):
        assert part in text
    magnitude[2:6, 2:-2, 2:-2, 1] = np.nan
    message = r"m\.nii: magnitude of echo 2 is NaN or infinite in \d+% of the object's voxels"
    with pytest.raises(InputError, match=message):
        load_gre(save("m.nii", magnitude), save("p.nii", phase), **facts)


def test_no_signal_is_refused(save, truth):
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3}
    magnitude, phase = (array.copy() for array in truth)
    magnitude[..., 1] = 0
    with pytest.raises(InputError, match=r"m\.nii: every value of echo 2 is 0"):
        load_gre(save("m.nii", magnitude), save("p.nii", phase), **facts)
    phase[..., 2] = 0
    with pytest.raises(InputError, match=r"p\.nii: phase is constant \(0\) in volume 3"):
        load_gre(save("n.nii", truth[0]), save("p.nii", phase), **facts)
    signal = truth[0].astype(np.complex64)
    with pytest.raises(InputError, match="phase of echo 1 is constant"):
        load_gre(save("c.nii", signal), **facts)


def test_one_magnitude_for_all_echoes_is_noted(save, truth):
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3.0}
    magnitude, phase = save("m.nii", truth[0][..., [0, 0, 0]]), save("p.nii", truth[1])
    assert any("same magnitude: R2* is 0" in note for note in load_gre(magnitude, phase, **facts).notes)


def test_echoes_that_were_scaled_separately_are_noted(save, truth):
    facts: dict[str, Any] = {"echo_times": TIMES, "field_strength": 3.0}
    scaled = np.rint(4095 * truth[0] / truth[0].max(axis=(0, 1, 2))).astype(np.int16)
    magnitude, phase = save("m.nii", scaled), save("p.nii", truth[1])
    (note,) = [note for note in load_gre(magnitude, phase, **facts).notes if "scaled separately" in note]
    assert "the largest magnitude of every echo is 4095" in note
    raw = save("r.nii", truth[0])
    assert not any("scaled separately" in note for note in load_gre(raw, phase, **facts).notes)


@pytest.mark.parametrize("part", [0.02, 0.2])
def test_clipped_magnitude_is_noted(save, truth, part):
    magnitude, phase = truth
    limit = np.quantile(magnitude[..., 0], 1 - part)
    given = [save("m.nii", np.minimum(magnitude, limit)), save("p.nii", phase, sidecar={"Units": "rad"})]
    notes = load_gre(*given, echo_times=TIMES, field_strength=3).notes
    assert sum("have the largest magnitude" in note for note in notes) == 3
    assert not any("clipped" in note for note in load_gre(
        save("whole.nii", magnitude), given[1], echo_times=TIMES, field_strength=3
    ).notes)  # fmt: skip
