"""Maps of rates from other programs: units, times under their name, and rates that cannot belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.given_maps import check_rates, check_stated_unit, check_values, unknown_rates

PATH = Path("sub-01_R2map.nii.gz")


@pytest.fixture
def rates(rng):
    """R2* that exceeds R2 everywhere."""
    r2 = rng.uniform(8, 30, (10, 10, 10))
    return {"r2": r2, "r2star": r2 + rng.uniform(1, 8, r2.shape), "mask": np.ones(r2.shape)}


def test_rates_of_tissue_pass(rates):
    check_rates(rates, PATH)
    check_values("r2", "1/s", rates["r2"], PATH)
    assert unknown_rates(rates["r2"], rates["mask"], PATH) == []


def test_times_in_ms_are_recognised_though_their_size_is_that_of_rates(rates):
    times = rates | {"r2star": 1000 / rates["r2star"]}
    assert np.mean(times["r2star"] > times["r2"]) > 0.8
    with pytest.raises(InputError, match=r"R2map.nii.gz: R2\* falls where R2 rises \(correlation -0"):
        check_rates(times, PATH)


def test_uniform_rates_do_not_decide(rates):
    check_rates(rates | {"r2": np.full(rates["r2"].shape, 5.0)}, PATH)


@pytest.mark.parametrize(
    "name", ["sub-01_T2map.nii.gz", "T2star.nii", "sub-01_T2starmap.nii.gz", "x_T2.nii.gz"]
)
def test_maps_named_as_times_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="named as a map of times"):
        check_stated_unit("r2", "1/s", tmp_path / name)


@pytest.mark.parametrize("name", ["sub-01_R2map.nii.gz", "sub-T2_desc-T2_R2starmap.nii.gz", "rT2w.nii.gz"])
def test_other_names_and_units_of_rates_pass(tmp_path, name):
    path = tmp_path / name
    path.with_name(path.name.partition(".")[0] + ".json").write_text(json.dumps({"Units": "Hz"}))
    check_stated_unit("r2", "1/s", path)


def test_negative_rates_are_refused(rates):
    with pytest.raises(InputError, match="a rate is not negative"):
        check_values("r2", "1/s", -rates["r2"], PATH)


def test_voxels_without_a_rate_are_noted_and_a_part_of_the_brain_refused(rates):
    r2 = rates["r2"].copy()
    r2[:2] = 0
    (note,) = unknown_rates(r2, rates["mask"], PATH)
    assert "no R2 in 20.0 % of the mask" in note
    r2[:6] = 0
    with pytest.raises(InputError, match="R2 is 0 in 60 % of the mask"):
        unknown_rates(r2, rates["mask"], PATH)
