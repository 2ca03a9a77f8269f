import numpy as np
import pandas as pd
import pytest

from qsmengine.stats.derivatives.typed_columns import read_column, why_missing


def column(values):
    return pd.Series(values, index=[f"sub-{i:02d}" for i in range(len(values))], dtype=object)


def problems_of(values, categorical=False):
    problems, unread = [], {}
    read_column("x", column(values), categorical, problems, unread)
    return [text for _, text in problems]


@pytest.fixture
def ages(rng):
    return [str(age) for age in rng.permutation(np.arange(20, 60))]


@pytest.mark.parametrize("form", ["{},5", "{} years", "{}Y", "{}.5 yr."])
def test_a_column_of_numbers_in_another_form_is_no_category(ages, form):
    (problem,) = problems_of([form.format(age) for age in ages])
    assert "decimal point" in problem
    assert problems_of([form.format(age) for age in ages], categorical=True) == []
    assert problems_of(ages) == []


def test_few_codes_that_hold_a_number_are_a_category():
    assert problems_of(["3T", "1.5T", "7T"] * 4) == []
    assert problems_of(["site2", "b"] * 4) == []
    (problem,) = problems_of(["1,5", "3,0", "7,0"] * 4)
    assert "decimal point" in problem


@pytest.mark.parametrize("categorical", [False, True])
def test_levels_that_differ_only_in_case_are_refused(categorical):
    (problem,) = problems_of(["F", "M", "f", "M"], categorical)
    assert problem == "the values 'F' and 'f' differ only in case or blanks: write them alike"


@pytest.mark.parametrize("code", [-999, 999, -9999, 9999, -9, -99])
def test_a_far_code_for_a_missing_number_excludes_its_participant(ages, code):
    problems, unread = [], {}
    numbers = read_column("x", column([*ages, str(code)]), False, problems, unread)
    assert problems == []
    assert np.isnan(numbers["sub-40"])
    assert numbers.notna().sum() == 40
    assert why_missing("x", "sub-40", unread).startswith(f"x is {code}, a usual code for a missing value")


def test_the_same_number_among_its_like_is_a_number(rng):
    for values in ([*map(str, rng.integers(900, 1100, 30)), "999"], ["1", "2", "999"], ["-9", "-8", "-7"] * 3):
        unread = {}
        assert read_column("x", column(values), False, [], unread).notna().all()
        assert unread == {}


@pytest.mark.parametrize("pair", [("F", "female"), ("Male", "m"), ("Left", "L"), ("no", "N")])
def test_levels_that_mean_the_same_are_refused(pair):
    (problem,) = problems_of([pair[0], "x", pair[1], "x"])
    assert problem == f"the values {pair[0]!r} and {pair[1]!r} mean the same: write them alike"
    assert problems_of([pair[0], "x", "fm", "x"]) == []


def test_letters_of_sites_are_not_sexes():
    assert problems_of(["F", "W", "M", "F"]) == []


@pytest.mark.parametrize(("value", "counts"), [("-1", False), ("0", False), ("12", True)])
def test_an_impossible_age_excludes_its_participant(ages, value, counts):
    unread = {}
    numbers = read_column("Age", column([*ages, value]), False, [], unread)
    assert np.isfinite(numbers["sub-40"]) == counts
    assert numbers[:40].notna().all()
    assert bool(unread) != counts
    infants = ["0", "1", "2", "8", "15", "30"]
    assert read_column("age", column(infants), False, [], {}).notna().all()
    assert read_column("change", column([*ages, "-1"]), False, [], {}).notna().all()
