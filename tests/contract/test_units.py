"""The unit of an image in arbitrary units does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from bench.inputs.heads import head
from qsmengine.backend.device import Device
from qsmengine.stages.catalogue import INPUT_UNITS
from qsmengine.stages.method import Method
from tests.contract.running import EVERY, assert_same_bytes, method_id, run

SIGNAL = frozenset({"arbitrary", "signal"})
FACTORS = (np.float32(2.0**-20), np.float32(2.0**20))
"""Powers of 2 scale every rounding too, so results that scale are the same bit by bit."""


def _inputs(method: Method, units: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in method.required_inputs if INPUT_UNITS[name] in units)


@pytest.mark.parametrize("method", [m for m in EVERY if _inputs(m, SIGNAL)], ids=method_id)
def test_signals_scale_what_is_in_their_unit_and_nothing_else(method: Method, device: Device) -> None:
    case = head("oblique")
    plain = run(method, case, device)
    for scale in FACTORS:
        scaled = {name: case.values[name] * scale for name in _inputs(method, SIGNAL)}
        expected = {n: a * scale if method.outputs[n] in SIGNAL else a for n, a in plain.items()}
        assert_same_bytes(expected, run(method, case, device, **scaled))


@pytest.mark.parametrize("method", [m for m in EVERY if _inputs(m, frozenset({"any"}))], ids=method_id)
def test_the_unit_of_a_weight_does_not_matter(method: Method, device: Device) -> None:
    case = head("oblique")
    plain = run(method, case, device)
    for scale in FACTORS:
        assert_same_bytes(plain, run(method, case, device, weight=case.values["weight"] * scale))
