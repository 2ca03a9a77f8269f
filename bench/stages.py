"""`python -m bench stages`: every registered method with its default parameters on a synthetic head."""

from __future__ import annotations

from bench.inputs.heads import LARGE, Head, head
from bench.timing import devices, measure, parser, report, write_json
from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.stages.checks import TABLES
from qsmengine.stages.method import Method
from qsmengine.stages.registry import all_methods


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "stages")
    arguments.add_argument(
        "--method", action="append", metavar="STAGE/NAME", help="only this (may be repeated)"
    )
    options = arguments.parse_args(argv)
    chosen = [m for m in all_methods() if not options.method or f"{m.stage}/{m.name}" in options.method]
    case, results = head("large"), []
    for device in devices(options):
        transform = _transform_pair(device, options.rounds)
        print(f"{device}: {LARGE.shape}, one real FFT and its inverse {1e3 * transform:.2f} ms")
        print(f"{'method':28} {'ms':>9} {'spread':>7} {'ns/voxel':>9} {'FFT pairs':>10}")
        rows = [_row(m, case, device, transform, options.rounds) for m in chosen]
        results.append(report("stages", device, rows, shape=LARGE.shape, fft_pair_s=transform))
    write_json(options.json, results)
    return 0


def _row(method: Method, case: Head, device: Device, transform: float, rounds: int) -> dict[str, object]:
    inputs = {n: v if n in TABLES else device.asarray(v, v.dtype) for n, v in case.inputs(method).items()}
    run = {"method": lambda: method(inputs, case.grid, method.params(), device=device)}
    timing = measure(run, device, rounds=rounds, warm_up=1)["method"]
    name = f"{method.stage}/{method.name}"
    per_voxel = 1e9 * timing.median / case.grid.size
    pairs = timing.median / transform
    print(
        f"{name:28} {1e3 * timing.median:9.2f} {timing.spread:7.1%} {per_voxel:9.1f} {pairs:10.1f}", flush=True
    )
    return {"method": name, **timing.as_dict(), "ns_per_voxel": per_voxel, "fft_pairs": pairs}


def _transform_pair(device: Device, rounds: int) -> float:
    fft = RealFFT(LARGE.shape, device)
    image = device.zeros(LARGE.shape)
    spectrum = fft.forward(image)

    def pair() -> None:
        fft.forward(image, spectrum)
        fft.inverse(spectrum, image, scaled=False)

    return measure({"pair": pair}, device, rounds=rounds)["pair"].median
