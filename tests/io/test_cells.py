import pytest

from qsmengine.io.cells import guard, unguard


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "=", "--5"]
)
def test_text_that_a_spreadsheet_runs_gets_an_apostrophe_and_comes_back(text):
    assert guard(text) == f"'{text}"
    assert guard(guard(text)) == guard(text)
    assert unguard(guard(text)) == text


@pytest.mark.parametrize(
    "text", ["-1", "+1.5", "-2e-7", "-inf", "n/a", "", "thalamus", "a=b", "'quoted'", "sub-01"]
)
def test_numbers_and_other_text_stay_as_they_are(text):
    assert guard(text) == text
    assert unguard(text) == text
