import pytest

from bench.timing import Timing, measure, parser
from qsmengine.backend.device import cpu


def test_spread_is_the_interquartile_range_over_the_median():
    assert Timing((1.0, 2.0, 3.0, 4.0, 5.0)).spread == pytest.approx(3.0 / 3.0)


def test_a_single_round_has_no_spread():
    timing = measure({"nothing": lambda: None}, cpu(), rounds=1, warm_up=0)["nothing"]
    assert timing.as_dict()["rounds"] == 1
    assert timing.spread == 0.0


@pytest.mark.parametrize("rounds", ["0", "-1", "x"])
def test_no_rounds_are_refused(rounds, capsys):
    with pytest.raises(SystemExit):
        parser("", "tv").parse_args(["--rounds", rounds])
    assert "--rounds" in capsys.readouterr().err
