import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from qsmengine.studies.pontillo2019.published import PValue, regressions, rows
from qsmengine.studies.pontillo2019.unadjusted import combined_subgroups, unadjusted_differences


def test_printed_p_values_know_their_side():
    assert PValue("<.001").significant
    assert not PValue(".05").significant
    assert PValue(".05", counted=True).significant
    assert not PValue(".14", counted=True).significant
    assert math.isnan(PValue("").value)


def test_groups_of_table_1_add_up():
    table = {row["variable"]: row for row in rows("table1")}
    for name in ("n", "female", "male", "dmt_treated"):
        assert int(table[name]["PMS"]) + int(table[name]["RRMS"]) == int(table[name]["MS"])
    for group in ("MS", "HC", "PMS", "RRMS"):
        assert int(table["female"][group]) + int(table["male"][group]) == int(table["n"][group])


def test_printed_regressions_hold_the_identity_of_f():
    # F = (R2 / p) / ((1 - R2) / df2) with whole p and df2 = k delta F (1 - R2) / delta R2 for some whole k.
    found = {(r.group, r.structure): r for r in regressions()}
    ms = found["MS", "pallidum"]
    df2 = ms.delta_f * (1 - ms.r2) / ms.delta_r2
    assert df2 == pytest.approx(71, abs=0.5)
    assert ms.r2 / (1 - ms.r2) * df2 / ms.f == pytest.approx(5, abs=0.1)
    caudate = found["RRMS", "caudate"]
    assert caudate.delta_f * (1 - caudate.r2) / caudate.delta_r2 == pytest.approx(31, abs=0.5)


def test_unadjusted_differences_are_welchs_tests_of_the_print():
    table = unadjusted_differences().set_index(["metric", "comparison"])
    assert len(table) == 25
    row: Any = table.loc[("volume_thalamus", "MS - HC")]
    expected = stats.ttest_ind_from_stats(18.7, 2.6, 77, 21.9, 2.1, 41, equal_var=False)
    assert (row["t"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert (row["n1"], row["n2"]) == (77, 41)
    assert tuple(table.loc[("MD_caudate", "PMS - RRMS"), ["n1", "n2"]]) == (21, 38)
    disagree = table.index[~table["agrees"]].tolist()
    assert disagree == [("NGMV", "PMS - RRMS"), ("chi_thalamus", "PMS - RRMS")]
    assert table.loc[("lesion_load", "PMS - RRMS"), "scale"] == "log"


def test_logarithmic_moments_are_those_of_drawn_values():
    row = unadjusted_differences().iloc[0]
    rng = np.random.default_rng(0)
    values = []
    for mean, sd in ((18.3, 16.7), (11.6, 15.7)):
        variance = np.log(1 + (sd / mean) ** 2)
        drawn = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), 400_000)
        assert drawn.mean() == pytest.approx(mean, rel=0.02)
        values.append(np.log(drawn).mean())
    assert row["difference"] == pytest.approx(values[0] - values[1], abs=0.01)


def test_printed_subgroups_combine_to_the_group_but_for_one_metric():
    table = combined_subgroups().set_index("metric")
    assert table.loc["NBV", "mean"] == pytest.approx((25 * 1440.0 + 52 * 1481.2) / 77)
    assert table.loc["NBV", "sd"] == pytest.approx(86.9, abs=0.05)
    odd = table.index[table["standard_errors"].abs() > 1].tolist()
    assert odd == ["MD_thalamus"]
