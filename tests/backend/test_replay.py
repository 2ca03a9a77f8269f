"""Replayed steps: the same bytes as steps that are called, and nothing is captured that must not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend import replay
from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.vector import VEC_ADVANCE
from qsmengine.solvers.multigrid import MaskedLaplacian
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tgv_admm import solve_tgv
from qsmengine.solvers.tgv_split import TgvPenalties
from qsmengine.solvers.tv_admm import PhaseError, TvProblem, solve_tv
from qsmengine.solvers.tv_harmonic import HarmonicTerm, solve_tv_harmonic
from qsmengine.solvers.tv_spectral import SpectralTvProblem, solve_tv_spectral

SHAPE = (10, 12, 14)
PENALTIES: dict[str, Any] = {"mu_gradient": 0.5, "mu_data": 1.0}
STOPPING = Stopping(13, 0.0)


def vectors(device):
    numbers = {"x": [1.0, 2.0], "p": [3.0, 4.0], "s": [5.0, 6.0]}
    scalars = {"alpha": [2.0], "beta": [0.5]}
    arrays = {name: device.asarray(np.array(v), np.float32) for name, v in numbers.items()}
    return arrays | {name: device.asarray(np.array(v), np.float64) for name, v in scalars.items()}


@pytest.fixture
def captures(monkeypatch):
    """Turns that were captured."""
    done = []
    capture = replay.capture

    def counted(step, turn, device):
        graph = capture(step, turn, device)
        done.append(turn)
        return graph

    monkeypatch.setattr(replay, "capture", counted)
    return done


def test_a_step_runs_at_every_call(device):
    arrays = vectors(device)
    advance, expected = Replay(device), vectors(device)
    for _ in range(5):
        advance(lambda turn: launch(VEC_ADVANCE, device, **arrays))
        launch(VEC_ADVANCE, device, **expected)
    assert to_numpy(arrays["x"]).tobytes() == to_numpy(expected["x"]).tobytes()


def test_turns_alternate_on_the_cpu():
    turns: list[int] = []
    repeat = Replay(Device("cpu"), turns=2)
    for _ in range(5):
        repeat(turns.append)
    assert turns == [0, 1, 0, 1, 0]


def test_each_turn_is_called_once_and_captured_once(gpu, captures):
    arrays = [vectors(gpu), vectors(gpu)]
    turns: list[int] = []

    def step(turn):
        turns.append(turn)
        launch(VEC_ADVANCE, gpu, **arrays[turn])

    repeat = Replay(gpu, turns=2)
    for _ in range(7):
        repeat(step)
    assert turns == [0, 1, 0, 1]
    assert captures == [0, 1]
    expected = [vectors(gpu), vectors(gpu)]
    for call in range(7):
        launch(VEC_ADVANCE, gpu, **expected[call % 2])
    for found, values in zip(arrays, expected, strict=True):
        assert to_numpy(found["x"]).tobytes() == to_numpy(values["x"]).tobytes()


@pytest.mark.parametrize("forbidden", ["allocates", "waits"])
def test_a_step_that_must_not_be_captured_is_called(forbidden, gpu, captures):
    arrays, expected = vectors(gpu), vectors(gpu)

    def step(turn):
        launch(VEC_ADVANCE, gpu, **arrays)
        if forbidden == "allocates":
            gpu.zeros((300,))
        else:
            float(arrays["x"][0])

    repeat = Replay(gpu)
    for _ in range(4):
        repeat(step)
        launch(VEC_ADVANCE, gpu, **expected)
    assert captures == []
    assert to_numpy(arrays["x"]).tobytes() == to_numpy(expected["x"]).tobytes()


def problem(device, **options):
    rng = np.random.default_rng(3)
    response = device.asarray(rng.uniform(-0.6, 0.3, (*SHAPE[:2], SHAPE[2] // 2 + 1)))
    data, weight = device.asarray(rng.standard_normal(SHAPE)), device.asarray(rng.random(SHAPE))
    return TvProblem(response, data, weight, (1.0, 1.0, 2.0), 1e-3, **options)


def tv(device):
    return solve_tv(problem(device, data_step=PhaseError(2.0)), device, STOPPING, **PENALTIES)


def tv_faces(device):
    faces = device.asarray(np.random.default_rng(4).integers(0, 8, SHAPE), np.uint8)
    return solve_tv(problem(device, faces=faces), device, STOPPING, **PENALTIES)


def tv_harmonic(device):
    term = HarmonicTerm(device.zeros(SHAPE) + np.float32(1), 10.0)
    return solve_tv_harmonic(problem(device), term, device, STOPPING, mu_harmonic=1.0, **PENALTIES)


def tgv(device):
    penalties = TgvPenalties(0.5, 0.5, 1.0)
    return solve_tgv(problem(device), 2e-3, device, STOPPING, penalties=penalties)


def tv_spectral(device):
    target = problem(device).data
    known = device.asarray(np.random.default_rng(5).random((*SHAPE[:2], SHAPE[2] // 2 + 1)))
    spectral = SpectralTvProblem(known, target, (1.0, 1.0, 1.0), 1e-2)
    return solve_tv_spectral(spectral, device, STOPPING, mu_gradient=0.5)[0]


def v_cycle(device):
    inside = np.zeros(SHAPE, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    laplacian = MaskedLaplacian(device.asarray(inside, bool), (1.0, 1.0, 1.0), device)
    r = device.asarray(np.random.default_rng(6).standard_normal(SHAPE) * inside)
    for _ in range(4):
        r += laplacian.precondition(r)
    return laplacian.precondition(r)


@pytest.mark.parametrize("solver", [tv, tv_faces, tv_harmonic, tgv, tv_spectral, v_cycle])
def test_replayed_iterations_give_the_bytes_of_called_ones(solver, gpu, captures, monkeypatch):
    replayed = to_numpy(solver(gpu)).tobytes()
    assert captures
    monkeypatch.setattr(Replay, "_graph", lambda self, step, turn: None)
    assert to_numpy(solver(gpu)).tobytes() == replayed


def test_cycles_for_another_right_hand_side_are_computed_for_it(device):
    inside = np.zeros((8, 8, 8), bool)
    inside[1:-1, 1:-1, 1:-1] = True
    laplacian = MaskedLaplacian(device.asarray(inside, bool), (1.0, 1.0, 1.0), device)
    a = device.asarray(inside)
    b = 2 * a
    for _ in range(3):
        first = to_numpy(laplacian.precondition(a)).copy()
    assert np.allclose(to_numpy(laplacian.precondition(b)), 2 * first, rtol=1e-5)
