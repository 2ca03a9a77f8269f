"""Accuracy of kernels/vmath.h against double precision, in the bounds that the header states."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from qsmengine.backend.kernel import Kernel
from tests.kernels.calling import call
from tests.kernels.variants import build

PROBE = Kernel(
    "probe_vmath",
    "vmath_probe.cu",
    """
    x: in f32 [n]
    y: in f32 [n]
    results: out f32 [6 n]
    """,
    items="n",
)
FUNCTIONS = ("log", "exp", "sin", "cos", "atan2", "wrap")


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build(Path(__file__).with_name(PROBE.source), "fast", ("-O3",))))


def _evaluate(library: ctypes.CDLL, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    results = np.empty((6, x.size), np.float32)
    call(library, PROBE, {"x": x, "y": y, "results": results})
    return dict(zip(FUNCTIONS, results.astype(np.float64), strict=True))


def _ulps(value: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(value - exact) / np.spacing(np.abs(exact).astype(np.float32))))


def test_log_is_within_1_2_ulp_over_all_magnitudes(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    wide = np.exp(rng.uniform(-87, 88, 300_000))
    near_one = 1 + rng.normal(scale=0.3, size=300_000).clip(-0.99, 5)
    x = np.concatenate([wide, near_one]).astype(np.float32)
    value = _evaluate(library, x, np.zeros_like(x))["log"]
    assert _ulps(value, np.log(x.astype(np.float64))) <= 1.2


def test_exp_is_within_1_2_ulp_and_saturates(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    y = np.concatenate([rng.uniform(-87, 88, 300_000), rng.uniform(-1, 1, 300_000)]).astype(np.float32)
    value = _evaluate(library, np.ones_like(y), y)["exp"]
    assert _ulps(value, np.exp(y.astype(np.float64))) <= 1.2
    ends = np.array([-200.0, -np.inf, 500.0, 0.0], np.float32)
    below, lowest, above, one = _evaluate(library, np.ones_like(ends), ends)["exp"]
    assert (below, lowest, one) == (0.0, 0.0, 1.0)
    assert above == pytest.approx(np.exp(88.0), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_sine_and_cosine_are_within_1_5e_7(library: ctypes.CDLL, scale: float) -> None:
    y = np.random.default_rng(2).uniform(-scale, scale, 400_000).astype(np.float32)
    values = _evaluate(library, np.ones_like(y), y)
    assert np.abs(values["sin"] - np.sin(y.astype(np.float64))).max() <= 1.5e-7
    assert np.abs(values["cos"] - np.cos(y.astype(np.float64))).max() <= 1.5e-7


def test_arctangent_is_within_3e_7_in_all_quadrants(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(3)
    angle, radius = rng.uniform(-np.pi, np.pi, 400_000), np.exp(rng.uniform(-20, 20, 400_000))
    x, y = (radius * np.cos(angle)).astype(np.float32), (radius * np.sin(angle)).astype(np.float32)
    value = _evaluate(library, x, y)["atan2"]
    assert np.abs(value - np.arctan2(y.astype(np.float64), x.astype(np.float64))).max() <= 3e-7


def test_arctangent_on_the_axes(library: ctypes.CDLL) -> None:
    x = np.array([0, 1, -1, 0, 0, 2, -2], np.float32)
    y = np.array([0, 0, 0, 1, -1, 2, -2], np.float32)
    expected = np.array([0, 0, np.pi, np.pi / 2, -np.pi / 2, np.pi / 4, -3 * np.pi / 4])
    assert np.abs(_evaluate(library, x, y)["atan2"] - expected).max() <= 3e-7


def test_wrap_lies_in_one_turn_and_differs_by_whole_turns(library: ctypes.CDLL) -> None:
    y = np.random.default_rng(4).uniform(-1e4, 1e4, 400_000).astype(np.float32)
    value = _evaluate(library, np.ones_like(y), y)["wrap"]
    assert np.abs(value).max() <= np.pi + 1e-3
    turns = (y.astype(np.float64) - value) / (2 * np.pi)
    assert np.abs(turns - np.round(turns)).max() * 2 * np.pi <= 3e-7


def test_wrap_keeps_what_is_wrapped(library: ctypes.CDLL) -> None:
    y = np.random.default_rng(5).uniform(-3.1415925, 3.1415925, 100_000).astype(np.float32)
    assert np.array_equal(_evaluate(library, np.ones_like(y), y)["wrap"], y.astype(np.float64))


def test_contraction_keeps_the_accuracy() -> None:
    library = _contracted()
    rng = np.random.default_rng(6)
    x = np.exp(rng.uniform(-80, 80, 200_000)).astype(np.float32)
    y = rng.uniform(-80, 80, 200_000).astype(np.float32)
    values, exact = _evaluate(library, x, y), y.astype(np.float64)
    assert _ulps(values["log"], np.log(x.astype(np.float64))) <= 1.2
    assert _ulps(values["exp"], np.exp(exact)) <= 1.2
    assert np.abs(values["sin"] - np.sin(exact)).max() <= 1.5e-7
    assert np.abs(values["cos"] - np.cos(exact)).max() <= 1.5e-7
    assert np.abs(values["atan2"] - np.arctan2(exact, x.astype(np.float64))).max() <= 3e-7


def _contracted() -> ctypes.CDLL:
    """The probe with fused multiply-adds, as the GPU and the shipped library have them."""
    flags = ("-O3", "-ffp-contract=fast", "-march=native")
    return ctypes.CDLL(str(build(Path(__file__).with_name(PROBE.source), "fast", flags)))
