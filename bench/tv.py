"""`python -m bench tv`: one iteration of weighted total variation against its four FFTs alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from bench.timing import devices, measure, parser, ratio, report, write_json
from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.fft import RealFFT
from qsmengine.ops.dipole import dipole_response
from qsmengine.solvers.tv_admm import TvAdmm, TvProblem


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "tv")
    arguments.add_argument("--shape", type=int, nargs=3, default=(256, 256, 160), metavar=("NX", "NY", "NZ"))
    options = arguments.parse_args(argv)
    shape = (options.shape[0], options.shape[1], options.shape[2])
    results = [report("tv", d, [_row(shape, d, options.rounds)], shape=shape) for d in devices(options)]
    write_json(options.json, results)
    return 0


def _row(shape: tuple[int, int, int], device: Device, rounds: int) -> dict[str, Any]:
    solver = TvAdmm(_problem(shape, device), device, mu_gradient=2e-2, mu_data=1.0)
    fft = RealFFT(shape, device)
    images = [device.asarray(np.random.default_rng(i).normal(size=shape)) for i in range(2)]
    spectra = [device.empty(fft.spectrum_shape, np.complex64) for _ in range(2)]

    def transforms() -> None:
        for image, spectrum in zip(images, spectra, strict=True):
            fft.forward(image, spectrum)
            fft.inverse(spectrum, image, scaled=False)

    def refill() -> None:  # unscaled round trips grow: start again from ones
        for image in images:
            image[...] = 1.0

    runs: dict[str, Any] = {"iteration": solver.iterate, "transforms": transforms, "refill": refill}
    if device.kind == "cpu":
        host = to_numpy(images[0]).copy()
        runs["scipy"] = lambda: [
            scipy.fft.irfftn(scipy.fft.rfftn(host, workers=device.threads), s=shape, workers=device.threads)
            for _ in range(2)
        ]
    timings = measure(runs, device, rounds=rounds)
    del timings["refill"]
    factor = ratio(timings["iteration"], timings["transforms"])
    for name, timing in timings.items():
        print(f"{device!s:8} {name:12} {1e3 * timing.median:9.2f} ms  spread {timing.spread:.1%}")
    print(f"{device!s:8} iteration / transforms = {factor:.2f}")
    return {**{name: t.as_dict() for name, t in timings.items()}, "iteration_over_transforms": factor}


def _problem(shape: tuple[int, int, int], device: Device) -> TvProblem:
    rng = np.random.default_rng(5)
    return TvProblem(
        response=dipole_response(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 1.0), device),
        data=device.asarray(rng.normal(scale=0.05, size=shape)),
        weight=device.asarray(rng.uniform(0.0, 1.0, shape)),
        spacing=(1.0, 1.0, 1.0),
        lam=2e-4,
    )
