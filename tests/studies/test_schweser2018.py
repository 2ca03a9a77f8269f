import json
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.errors import UsageError
from qsmengine.io.nifti import read_image
from qsmengine.stats.tables import read_table
from qsmengine.studies.schweser2018.cohort import GROUPS, LATERAL, PULVINAR, Pattern, draw_group, thalamus
from qsmengine.studies.schweser2018.reproduce import reproduce_maps


def test_nuclei_of_the_atlas_lie_on_their_sides():
    place = thalamus()
    assert np.diag(place.grid.affine)[:3].tolist() == [2, 2, 2]
    where = np.argwhere(place.inside) @ place.grid.affine[:3, :3].T + place.grid.affine[:3, 3]
    assert where[place.region(LATERAL, "left"), 0].max() < 0
    assert where[place.region(LATERAL, "right"), 0].min() > 0
    assert where[place.region(PULVINAR), 1].mean() < where[place.region(LATERAL), 1].mean()
    whole = tuple({name for name, _ in place.parts})
    assert place.region(whole).all()


def test_drawn_maps_have_the_pattern_without_noise():
    quiet = Pattern(between=(0.0, 0.0), noise=(1e-9, 3.0))
    place = thalamus()
    pulvinar, left = place.region(PULVINAR), place.region(LATERAL, "left")
    for name in GROUPS:
        people, maps = draw_group(name, np.random.default_rng(1), quiet)
        assert people["patient"].sum() == 40
        maps = maps - 0.05 * (people["age"].to_numpy()[:, None] - 45)
        assert np.abs(maps[40:]).max() < 1e-4
        slope, level = np.polyfit(people["duration"][:40] - GROUPS[name].duration[0], maps[:40], 1)
        expected = {"CIS": (0, 0), "RRMS": (0, quiet.rrms), "SPMS": (quiet.spms, 0)}[name]
        np.testing.assert_allclose(level[pulvinar], expected[0], atol=1e-4)
        np.testing.assert_allclose(level[~pulvinar], expected[1], atol=1e-4)
        np.testing.assert_allclose(slope[pulvinar], quiet.pulvinar_slope, atol=1e-4)
        np.testing.assert_allclose(slope[left], quiet.left_lateral_slope, atol=1e-4)


def test_durations_and_ages_follow_their_group():
    rng = np.random.default_rng(3)
    for name, group in GROUPS.items():
        drawn = [draw_group(name, rng, Pattern())[0] for _ in range(3)]
        patients = np.concatenate([d["duration"][:40] for d in drawn])
        assert patients.mean() == pytest.approx(group.duration[0], abs=4 * group.duration[1] / np.sqrt(120))
        assert all((d["woman"][:40].to_numpy() == d["woman"][40:].to_numpy()).all() for d in drawn)


def test_the_published_pattern_is_found_and_written(tmp_path):
    seen = []
    made = reproduce_maps(
        tmp_path, first_seed=4, permutations=99, device=cpu(1), on_seed=lambda *done: seen.append(done)
    )
    assert seen == [(1, 1)]
    cells: Any = made.cells.set_index(["table", "row"])
    assert cells.loc[("RRMS against controls", "thalamus_pulvinar"), "value"] < 0.5
    assert cells.loc[("RRMS against controls", "thalamus_mediodorsal"), "value"] > 0.5
    spms = cells.loc["SPMS against controls", "value"]
    assert spms.idxmax() == "thalamus_pulvinar"
    assert spms.max() > 0.2
    assert cells.loc["CIS against controls", "value"].max() < 0.5
    assert len(cells) == 24
    p, t = (read_image(tmp_path / f"SPMS_{w}.nii.gz").array for w in ("p", "t"))
    labels = read_image(tmp_path / "labels.nii.gz").array
    share = np.mean((p[np.isin(labels, (1, 8))] <= 0.05) & (t[np.isin(labels, (1, 8))] < 0))
    assert share == pytest.approx(cells.loc[("SPMS against controls", "thalamus_pulvinar"), "value"])
    assert json.loads((tmp_path / "SPMS_p.json").read_text())["Units"] == "1"
    assert len(read_table(tmp_path / "participants.tsv")) == 240
    assert "Decline with disease duration" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(("course", "lower"), [("CIS", False), ("RRMS", True)])
def test_the_thalamus_outside_the_pulvinar_is_lower_in_rrms_only(course, lower):
    flat = Pattern(slope=0, pulvinar_slope=0, left_lateral_slope=0)
    people, maps = draw_group(course, np.random.default_rng(0), flat)
    difference = (maps[:40].mean(axis=0) - maps[40:].mean(axis=0))[~thalamus().region(PULVINAR)].mean()
    standard_error = np.hypot(*flat.between) * np.sqrt(2 / 40)
    assert abs(difference - lower * flat.rrms) < 4 * standard_error
    assert (difference < flat.rrms / 2) == lower
    assert people["course"].unique().tolist() == [course]


def test_seeds_are_checked(tmp_path):
    with pytest.raises(UsageError, match="need at least 1"):
        reproduce_maps(tmp_path, seeds=0)
    assert main(["reproduce", "schweser2019", str(tmp_path)]) == 2
