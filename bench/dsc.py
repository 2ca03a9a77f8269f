"""`python -m bench dsc`: errors of perfusion on OSIPI's curves, and seconds of whole chains.

The table gives the mean and largest error of CBF and CBV on OSIPI's 14 simulated curves, CBV against the
areas that their rectangles have. The series of the timings has two tissues, arteries, and noise, in Fortran
order as a NIfTI file gives it. A chain is `reconstruct_dsc` without motion correction, on a given mask. If
osipy is installed (it needs Python 3.12), its deconvolutions are in the table, and its pipeline with the
defaults (signal to curves, artery, leakage, oSVD, maps) runs on the same series in the same rounds.
`--part heads` draws heads instead, see :mod:`bench.dsc_heads`, and `--part command` runs the whole command, see
:mod:`bench.dsc_command`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench import dsc_heads
from bench.dsc_command import seconds_of_commands
from bench.machine import ROOT
from bench.timing import devices, measure, parser, ratio, report, write_json
from qsmengine.api.perfusion import reconstruct_dsc
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.registry import get_method

METHODS = ("osvd", "csvd", "ssvd", "tikhonov", "exponential", "common_shape", "gamma")
SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ssvd", {}),
    ("csvd", {"threshold": 0.05}),
    ("csvd", {}),
    ("csvd", {"threshold": 0.2}),
    ("osvd", {}),
    ("tikhonov", {"choice": "fixed"}),
    ("tikhonov", {}),
    ("tikhonov", {"choice": "lcurve"}),
    ("tikhonov", {"order": 2}),
    ("exponential", {"rule": "rectangle"}),
    ("exponential", {}),
    ("gamma", {}),
)
"""Methods and parameters of the table."""
PARTS = ("times", "osipy", "curves", "heads", "command")
"""Parts of the measurement; heads and command on request only."""
CURVES = ROOT / "tests" / "data" / "osipi-dsc" / "dsc_data.csv"
STEP, ECHO_TIME, ARRIVAL, SNR = 1.5, 0.03, 18.0, 100.0


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "dsc")
    arguments.add_argument("--part", nargs="+", choices=PARTS, default=PARTS[:3], help="what is measured")
    arguments.add_argument("--shape", type=int, nargs=3, default=(128, 128, 24), metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--frames", type=int, default=60)
    arguments.add_argument("--method", nargs="*", default=METHODS, help="deconvolutions")
    arguments.add_argument(
        "--heads", type=int, nargs="+", default=range(101, 121), help="numbers of drawn heads"
    )
    arguments.add_argument("--snr", type=float, nargs="+", default=(100.0,), help="of heads; inf: none")
    arguments.add_argument(
        "--residue", nargs="+", choices=dsc_heads.RESIDUES, default=("exponential",), help="of heads"
    )
    arguments.add_argument("--osipy", help="osipy's command, for `--part command`; default: that on the path")
    arguments.add_argument("--set", nargs="+", default=(), help="settings of the heads' chain")
    options = arguments.parse_args(argv)
    case = Case((options.shape[0], options.shape[1], options.shape[2]), options.frames)
    results = []
    for device in devices(options):
        rows = [_measured(part, case, options, device) for part in PARTS if part in options.part]
        results.append(report("dsc", device, rows, shape=case.grid.shape, frames=options.frames))
    write_json(options.json, results)
    return 0


def _measured(part: str, case: Case, options: argparse.Namespace, device: Device) -> Any:
    if part == "times":
        return case.chains(device, options.rounds, tuple(options.method))
    if part == "osipy":
        if device.kind != "cpu" or find_spec("osipy") is None:
            print(f"{device!s:6} osipy: not compared; it needs a CPU and Python 3.12")
            return {}
        return case.against_osipy(device, options.rounds)
    if part == "curves":
        return errors_on_curves(device)
    if part == "command":
        return seconds_of_commands(case, device, options.rounds, tuple(options.method), options.osipy)
    return dsc_heads.table(options.heads, options.snr, options.residue, options.set, device)


Deconvolve = Callable[[Any, Any, float], tuple[float, float]]
"""Curve, artery and time between frames -> CBV and CBF."""


def errors_on_curves(device: Device) -> dict[str, Any]:
    """Errors [%] of every method on OSIPI's curves, mean and largest over the curves."""
    rows: dict[str, Deconvolve] = {
        " ".join([name, *(f"{k}={v}" for k, v in settings.items())]): _ours(name, settings, device)
        for name, settings in SETTINGS
    }
    if find_spec("osipy") is not None:
        rows |= {f"osipy {name}": _osipy(name) for name in ("sSVD", "cSVD", "oSVD")}
    with CURVES.open(encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    found = {name: _errors(deconvolve, curves) for name, deconvolve in rows.items()}
    for name, (cbf, cbv) in found.items():
        print(
            f"{device!s:6} {name:28} CBF {cbf.mean():5.1f} ({cbf.max():5.1f}) %"
            f"   CBV {cbv.mean():5.1f} ({cbv.max():5.1f}) %"
        )
    return {name: {"cbf": float(cbf.mean()), "cbv": float(cbv.mean())} for name, (cbf, cbv) in found.items()}


def _errors(deconvolve: Deconvolve, curves: list[dict[str, str]]) -> tuple[Any, Any]:
    wrong = []
    for row in curves:
        tissue, artery = (np.array(row[c].split(), dtype=np.float64) for c in ("C_tis", "C_aif"))
        cbv, cbf, step = (float(row[c]) for c in ("cbv", "cbf", "tr"))
        volume, flow = deconvolve(tissue, artery, step)
        expected = cbv * (1 + step * cbf / cbv / 120)
        wrong.append((100 * abs(flow / cbf - 1), 100 * abs(volume / expected - 1)))
    flows, volumes = np.array(wrong).T
    return flows, volumes


def _ours(name: str, settings: Mapping[str, Any], device: Device) -> Deconvolve:
    method = get_method("deconvolution", name)
    params = method.params.model_validate({"haematocrit_factor": 1.0, "density": 1.0, **settings})
    grid = Grid.from_voxel_size((1, 1, 1), (1.0, 1.0, 1.0))

    def deconvolve(tissue: Any, artery: Any, step: float) -> tuple[float, float]:
        inputs = {
            "dr2star": tissue[None, None, None].astype(np.float32),
            "mask": np.ones((1, 1, 1), bool),
            "frame_times": tuple(step * np.arange(tissue.size)),
            "aif": artery,
        }
        maps = method(inputs, grid, params, device=device)
        return float(to_numpy(maps["cbv"])[0, 0, 0]), float(to_numpy(maps["cbf"])[0, 0, 0])

    return deconvolve


def _osipy(name: str) -> Deconvolve:
    from osipy.dsc.deconvolution import get_deconvolver

    peer = get_deconvolver(name)

    def deconvolve(tissue: Any, artery: Any, step: float) -> tuple[float, float]:
        found = peer.deconvolve(tissue[None, None, None], artery, step * np.arange(tissue.size))
        return 100 * tissue.sum() / artery.sum(), 6000 * float(np.ravel(found.cbf)[0])

    return deconvolve


class Case:
    """A noisy series of a head with grey and white matter and a few arteries."""

    def __init__(self, shape: tuple[int, int, int], frames: int) -> None:
        rng = np.random.default_rng(7)
        self.grid = Grid.from_voxel_size(shape, (1.8, 1.8, 5.0))
        points = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
        self.mask = (points**2).sum(axis=0) < 0.8
        times = STEP * np.arange(frames)
        after = np.maximum(times - ARRIVAL, 0.0)
        self.aif = 12.0 * after**3 * np.exp(-after / 1.5)
        flow = np.where(np.sin(9 * points).sum(axis=0) > 0, 0.01, 0.004)[..., None]
        change = np.zeros((*shape, frames))
        state = np.zeros(shape)
        decay = np.exp(-STEP / np.where(flow[..., 0] > 0.005, 4.0, 5.0))
        for frame in range(frames):
            state = decay * state + STEP * self.aif[frame]
            change[..., frame] = state
        change *= flow
        artery = self.mask & (np.abs(np.sin(11 * points[0]) * np.sin(13 * points[1])) > 0.995)
        change[artery] = 0.7 * self.aif
        clean = np.where(self.mask, 600.0, 5.0)[..., None] * np.exp(-ECHO_TIME * change)
        noise = 600.0 / SNR * rng.normal(size=clean.shape)
        self.signal = np.asfortranarray(np.abs(clean + noise).astype(np.float32))
        self.change = change

    def reconstruct(self, method: str, signal: Array, device: Device) -> Any:
        """Maps by one deconvolution."""
        return reconstruct_dsc(
            signal,
            self.grid,
            echo_times=ECHO_TIME,
            repetition_time=STEP,
            mask=self.mask,
            method=method,
            device=device,
        )

    def chains(self, device: Device, rounds: int, methods: tuple[str, ...]) -> dict[str, Any]:
        """Seconds of whole chains."""
        signal = self.signal if device.kind == "cpu" else device.xp.asarray(self.signal)
        runs = {name: lambda name=name: self.reconstruct(name, signal, device) for name in methods}
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        for name, timing in timings.items():
            print(f"{device!s:6} {name:12} {timing.median:7.3f} s  least {min(timing.seconds):7.3f} s")
        return {name: timing.as_dict() for name, timing in timings.items()}

    def against_osipy(self, device: Device, rounds: int) -> dict[str, Any]:
        """Whole chains from signals to maps in one mask: ours with two deconvolutions, and osipy's."""
        from osipy.pipeline import DSCPipeline, DSCPipelineConfig

        first = int(ARRIVAL / STEP) - 1
        peer = DSCPipeline(DSCPipelineConfig(te=1e3 * ECHO_TIME, baseline_frames=first))
        signal, times = np.ascontiguousarray(self.signal), STEP * np.arange(self.aif.size)
        runs = {
            "osvd": lambda: self.reconstruct("osvd", self.signal, device),
            "common_shape": lambda: self.reconstruct("common_shape", self.signal, device),
            "osipy": lambda: peer.run(signal, times, mask=self.mask),
        }
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        for name in ("osvd", "common_shape"):
            times_faster = ratio(timings["osipy"], timings[name])
            print(f"{device!s:6} whole chain, osipy / {name}: {times_faster:.1f}")
        return {name: timing.as_dict() for name, timing in timings.items()}
