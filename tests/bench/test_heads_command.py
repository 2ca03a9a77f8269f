import numpy as np
import pytest

from bench import heads
from bench.accuracy.heads import load
from qsmengine.errors import UsageError
from qsmengine.phantom import virtual_head


@pytest.fixture
def asked(monkeypatch):
    """Scenarios and persons that the command asks for; its heads are coarse."""
    found = []

    def make(scenario, person):
        found.append((scenario, person))
        return virtual_head(subject=person.labels, voxel_size=(6.0, 6.0, 6.0), echo_times=scenario.echo_times)

    monkeypatch.setattr(heads, "make_head", make)
    return found


def test_the_file_holds_the_head_that_the_options_describe(tmp_path, asked):
    path = tmp_path / "head.npz"
    options = ["--subject", "2", "--kind", "mask too small", "--echoes", "2", "--tilt", "25", "--snr", "0"]
    assert heads.main([*options, "--deformation", "2", "--features", "veins", "--out", str(path)]) == 0
    ((scenario, person),) = asked
    assert (person.labels, person.seed, person.deformation) == (2, 2, 2.0)
    assert scenario.kind.features == ("veins",)
    assert scenario.snr is None
    assert scenario.b0_direction[2] == pytest.approx(np.cos(np.radians(25)))
    case = load(path)
    assert case.series.n_echoes == 2
    assert case.given.sum() < case.mask.sum()
    assert not (case.given & ~case.mask).any()


def test_acquisitions_without_echo_times_are_refused(tmp_path, asked):
    with pytest.raises(UsageError, match="echo times"):
        heads.main(["--field-strength", "1.5", "--out", str(tmp_path / "head.npz")])
    assert not asked
