import numpy as np
import pytest

from bench.accuracy import forward
from bench.accuracy.people import Person
from bench.accuracy.scenarios import Scenario
from qsmengine.phantom.field import FieldModel

pytest.importorskip("qsm_forward")


def test_fields_of_qsm_forward_agree_with_this_engines_and_shim_is_part_of_the_total():
    scenario = Scenario("x", voxel_size=5.0, echoes=2, snr=None, sampling="qsm-forward")
    head = forward.forward_head(scenario, Person(2, 2))
    mask, truth = head.mask, {name: m.array for name, m in head.truth.items()}
    np.testing.assert_allclose(
        truth["total_field"], truth["local_field"] + truth["background_field"], atol=1e-6
    )
    ours = FieldModel.on_cpu(head.grid.shape, head.grid.voxel_size, (0.0, 0.0, 1.0)).field(
        np.where(mask, truth["chi"], np.float32(0))
    )
    error = (ours - truth["local_field"])[mask]
    assert (error - error.mean()).std() < 0.1 * ours[mask].std()
    difference = np.angle(np.exp(1j * (head.gre.phase[..., 1] - head.gre.phase[..., 0])))
    step = scenario.echo_times[1] - scenario.echo_times[0]
    expected = 2 * np.pi * 42.58 * 3.0 * step * truth["total_field"]
    assert np.abs(np.angle(np.exp(1j * (difference - expected))))[mask].max() < 1e-3
