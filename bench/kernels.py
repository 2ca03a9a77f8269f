"""`python -m bench kernels`: every kernel against the time a plain copy takes to move the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.inputs.kernels import DIMENSIONS, random_values
from bench.timing import copy_bandwidth, devices, measure, parser, report, write_json
from qsmengine.backend.device import Device
from qsmengine.backend.kernel import DTYPES, Kernel
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures import all_kernels

SIZES = {"nx": 256, "ny": 256, "nz": 160, "nh": 81, "n": 1 << 22}
"""Dimensions by name; others are small counts (echoes, parameters)."""
OTHER = 4


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "kernels")
    arguments.add_argument("--kernel", action="append", help="only this kernel (may be repeated)")
    options = arguments.parse_args(argv)
    chosen = [k for k in all_kernels() if not options.kernel or k.name in options.kernel]
    results = []
    for device in devices(options):
        bandwidth = copy_bandwidth(device)
        print(f"{device}: copy {bandwidth / 1e9:.1f} GB/s")
        print(f"{'kernel':28} {'ms':>9} {'spread':>7} {'GB/s':>8} {'x floor':>8}")
        rows = [_row(kernel, device, bandwidth, options.rounds) for kernel in chosen]
        results.append(report("kernels", device, rows, copy_bytes_per_second=bandwidth))
    write_json(options.json, results)
    return 0


def _row(kernel: Kernel, device: Device, bandwidth: float, rounds: int) -> dict[str, Any]:
    sizes = {d: SIZES.get(d, OTHER) for d in kernel.dims} | DIMENSIONS.get(kernel.name, {})
    host = random_values(kernel, sizes, np.random.default_rng(0))
    values = {
        a.name: device.asarray(host[a.name], DTYPES[a.type]) if a.is_array else host[a.name]
        for a in kernel.arguments
    }
    timing = measure({"kernel": lambda: launch(kernel, device, **values)}, device, rounds=rounds)["kernel"]
    moved = kernel.bytes_moved(values)
    row = {
        "kernel": kernel.name,
        "sizes": sizes,
        "bytes": moved,
        **timing.as_dict(),
        "bytes_per_second": moved / timing.median,
        "ratio_to_floor": timing.median * bandwidth / moved,
    }
    print(
        f"{kernel.name:28} {1e3 * timing.median:9.3f} {timing.spread:7.1%} "
        f"{moved / timing.median / 1e9:8.1f} {row['ratio_to_floor']:8.2f}",
        flush=True,
    )
    return row
