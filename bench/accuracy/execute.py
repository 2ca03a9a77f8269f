"""Running chains on a head, keeping what the last chains had in common."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from bench.accuracy.chains import Chain, Section
from bench.accuracy.heads import Case
from bench.accuracy.scoring import score
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET, load_config
from qsmengine.pipeline.configuration.model import section_of, stage_of
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.stages.noise import field_weight
from qsmengine.stages.registry import get_method

State = dict[str, Any]
MASKS = ("local_mask", "field_mask", "brain_mask")
NEW_MASK = {"reliability": "field_mask", "background": "local_mask"}
MULTI_ECHO = ("phase_offset",)


class Executor:
    """Runs chains on one head; steps that a chain shares with the one before run once.

    Parameters
    ----------
    case
        The head.
    device
        Where methods run.
    """

    def __init__(self, case: Case, device: Device) -> None:
        self.case = case
        self.device = device
        self._kept: dict[str, tuple[State, float]] = {}

    def run(self, chain: Chain) -> dict[str, Any]:
        """Scores of a chain, and the seconds of all its steps."""
        if chain.preset is not None:
            result, seconds = self._preset(chain)
        else:
            state, seconds = self._steps(chain)
            result = state[chain.target]
        return {**score(to_numpy(result), self.case, chain.target), "seconds": seconds}

    def _preset(self, chain: Chain) -> tuple[Array, float]:
        mask = None if chain.own_mask else self.case.given
        begin = time.perf_counter()
        result = run_qsm(
            self.case.series, load_config(preset=chain.preset or DEFAULT_PRESET), self.device, mask=mask
        )
        return result.chi, time.perf_counter() - begin

    def _steps(self, chain: Chain) -> tuple[State, float]:
        """State after the chain; prefixes are looked up by what they contain."""
        state, seconds = self._beginning(chain.start), 0.0
        prefix = [chain.start]
        kept = {}
        for section, settings in chain.sections.items():
            if section in MULTI_ECHO and self.case.series.n_echoes < 2:
                continue
            prefix.append(json.dumps([section, dict(settings)], sort_keys=True))
            key = " > ".join(prefix)
            if key in self._kept:
                state, seconds = self._kept[key]
            else:
                begin = time.perf_counter()
                state = run_step(state, section, settings, self.case, self.device)
                seconds += time.perf_counter() - begin
            kept[key] = (state, seconds)
        self._kept = dict(list(kept.items())[:-1])
        return state, seconds

    def _beginning(self, start: str) -> State:
        case, device = self.case, self.device
        state: State = {"brain_mask": device.asarray(case.given, bool), "echo_times": case.series.echo_times}
        state["magnitude"] = device.asarray(case.series.magnitude)
        if start == "raw":
            state["phase"] = device.asarray(case.series.phase)
        else:
            state[f"{start}_field"] = device.asarray(case.truth[f"{start}_field"] * case.given)
        return state


def run_step(state: State, section: str, settings: Section, case: Case, device: Device) -> State:
    """`state` with the results of one method; masks get the names they have in a run."""
    values = dict(settings)
    method = get_method(stage_of(section), values.pop("method"))
    mask = next(state[name] for name in MASKS if name in state)
    inputs: dict[str, Any] = {}
    for name in (name.rstrip("?") for name in method.inputs):
        if name == "mask":
            inputs[name] = mask
        elif name == "weight" and "noise" in state:
            inputs[name] = field_weight(state["noise"], mask)
        elif name in state:
            inputs[name] = state[name]
    results: Mapping[str, Any] = method(inputs, case.grid, parse_params(method, values), device=device)
    device.synchronize()
    renamed = {NEW_MASK.get(section_of(method.stage), name) if name == "mask" else name: value
               for name, value in results.items()}  # fmt: skip
    return {**state, **renamed}
