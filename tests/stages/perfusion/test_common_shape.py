"""The shape of the residue function is found from the whole brain, and with it flow and transit time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.perfusion.chain import shape_notes
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.curves import (
    PLAIN,
    STEP,
    TIMES,
    artery,
    box,
    deconvolve,
    exponential,
    gamma_transit,
)

SHAPE = (16, 16, 8)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 3.0, 1.0]), 3.0)
MASK = np.pad(np.ones((14, 14, 6), bool), 1)
TRANSITS = (4.0, 5.5)
FLOW = 60.0
CURVES = {
    "exponential": exponential,
    "gamma": lambda times, mean, arrival: gamma_transit(times, mean, 3.0, arrival),
    "box": box,
    "mixed": lambda times, mean, arrival: (
        0.5 * exponential(times, mean, arrival) + 0.5 * gamma_transit(times, mean, 8.0, arrival)
    ),
}


def brain(kind: str, noise: float = 0.02) -> dict[str, Any]:
    """Two tissues in layers, with a delay that grows along y; noise relative to the largest value."""
    change, rows = np.zeros((*SHAPE, TIMES.size)), np.linspace(15.5, 17.0, 4)
    for part, mean in enumerate(TRANSITS):
        for k, arrival in enumerate(rows):
            change[8 * part : 8 * part + 8, 4 * k : 4 * k + 4] = 0.01 * CURVES[kind](TIMES, mean, arrival)
    change += noise * change.max() * np.random.default_rng(4).normal(size=change.shape)
    return {
        "dr2star": (change * MASK[..., None]).astype(np.float32), "mask": MASK,
        "frame_times": tuple(TIMES), "aif": artery(TIMES),
    }  # fmt: skip


def fitted(inputs: dict[str, Any], device: Device, name: str = "common_shape") -> dict[str, Any]:
    method = get_method("deconvolution", name)
    found = method(inputs, GRID, method.params(**PLAIN), device=device)
    return {key: to_numpy(value) if hasattr(value, "shape") else value for key, value in found.items()}


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("exponential", 1.0, 1.0), ("gamma", 2.5, 4.0), ("box", 10, 30)]
)
def test_flow_and_transit_time_do_not_depend_on_the_shape(kind: str, least: float, most: float) -> None:
    inputs = brain(kind)
    found = fitted(inputs, cpu(2))
    assert least <= found["residue_shape"] <= most
    assert found["flow_lowest"] <= 1.0 <= found["flow_highest"]
    for part, mean in enumerate(TRANSITS):
        inside = (slice(8 * part + 2, 8 * part + 6), slice(2, 14), slice(2, 6))
        assert found["cbf"][inside].mean() == pytest.approx(FLOW, rel=0.12)
        assert np.median(found["mtt"][inside]) == pytest.approx(mean, rel=0.12)
    if kind != "exponential":
        plain = fitted(inputs, cpu(2), "exponential")["cbf"][MASK].mean()
        assert plain > 1.3 * found["cbf"][MASK].mean()


def test_the_range_of_the_flow_holds_the_true_one_where_no_shape_that_is_tried_is_right() -> None:
    found = fitted(brain("mixed", noise=0.005), cpu(2))
    truth = FLOW / found["cbf"][MASK].mean()
    assert truth > 1.05
    assert found["flow_lowest"] <= truth <= found["flow_highest"]


def test_exponential_curves_have_the_maps_of_the_exponential_method(device: Device) -> None:
    inputs = brain("exponential")
    found, expected = fitted(inputs, device), fitted(inputs, device, "exponential")
    assert (found["residue_shape"], found["residue_plateau"]) == (1.0, 0.0)
    for name in ("cbf", "mtt", "delay", "cbf_sd"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_few_curves_do_not_decide_and_an_exponential_is_assumed() -> None:
    curves = 0.01 * np.stack([exponential(TIMES, mean) for mean in (3.0, 5.0)])
    found, expected = (
        deconvolve(name, curves, artery(TIMES), STEP, cpu(2)) for name in ("common_shape", "exponential")
    )
    assert found["flow_lowest"] == found["flow_highest"] == 0
    np.testing.assert_array_equal(found["cbf"], expected["cbf"])


def test_notes_say_the_shape_and_what_it_leaves_open() -> None:
    facts = {"residue_shape": 2.5, "residue_plateau": 0.0, "flow_lowest": 0.85, "flow_highest": 1.1}
    (note,) = shape_notes(facts)
    assert "gamma of shape 2.5" in note
    assert "-15 to +10 %" in note
    assert "exponential;" in shape_notes({**facts, "residue_shape": 1.0})[0]
    assert "plateau of 0.3" in shape_notes({**facts, "residue_plateau": 0.3})[0]
    assert "assumed" in shape_notes({**facts, "flow_lowest": 0.0})[0]
    assert shape_notes({}) == []
