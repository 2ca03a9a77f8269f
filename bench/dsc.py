"""`python -m bench dsc`: perfusion maps from a bolus series, whole chains and their stages.

The series has two tissues, arteries, and noise, in Fortran order as a NIfTI file gives it. A chain is
`reconstruct_dsc` without motion correction, on a given mask. If osipy is installed (it needs Python 3.12), its
circulant SVD runs on the same curves and artery in the same rounds.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.timing import devices, measure, parser, ratio, report, write_json
from qsmengine.api.perfusion import reconstruct_dsc
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid

METHODS = ("osvd", "csvd", "ssvd", "tikhonov", "exponential", "gamma")
STEP, ECHO_TIME, ARRIVAL, SNR = 1.5, 0.03, 18.0, 100.0


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "dsc")
    arguments.add_argument("--shape", type=int, nargs=3, default=(128, 128, 24), metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--frames", type=int, default=60)
    arguments.add_argument("--method", nargs="*", default=METHODS, help="deconvolutions")
    options = arguments.parse_args(argv)
    case = Case((options.shape[0], options.shape[1], options.shape[2]), options.frames)
    results = []
    for device in devices(options):
        rows = [case.chains(device, options.rounds, tuple(options.method))]
        if device.kind == "cpu" and find_spec("osipy") is not None:
            rows.append(case.against_osipy(device, options.rounds))
        results.append(report("dsc", device, rows, shape=case.grid.shape, frames=options.frames))
    write_json(options.json, results)
    return 0


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
        """The whole chain, and osipy's deconvolution alone, on the curves of the mask."""
        from osipy.dsc import deconvolution

        curves = self.change.reshape(-1, self.change.shape[3])[self.mask.ravel()]
        peer = deconvolution.get_deconvolver("cSVD")
        runs = {
            "chain": lambda: self.reconstruct("csvd", self.signal, device),
            "osipy": lambda: peer.deconvolve(curves, to_numpy(self.aif), STEP * np.arange(self.aif.size)),
        }
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        print(f"{device!s:6} osipy / whole chain: {ratio(timings['osipy'], timings['chain']):.1f}")
        return {name: timing.as_dict() for name, timing in timings.items()}
