"""`python -m bench nlm`: joint non-local means against DIPY and scikit-image in the same rounds.

All compare patches of 3 x 3 x 3 voxels (`--patch-radius 1`) with the candidates of 11 x 11 x 11
(`--search-radius 5`) on noise of unit variance on smooth structure. In DIPY's terms that is block_radius 6,
patch_radius 1 (classic: the block holds the patch), or patch_radius 5, block_radius 1 (blockwise: the names
are swapped, every second voxel is a centre). scikit-image uses one thread; its patches are one voxel
shorter on each axis. The peers run on a cube of `--edge` voxels; their time is scaled by the number of
voxels. Ours runs on that cube too, which gives the ratio without scaling.

In addition to the wall clock, CPU seconds of all threads measure the work on a machine that others use too.
Ours blockwise averages whole blocks, with preselection, as DIPY's blockwise form is meant to.

The floor counts the arithmetic of the scheme, each pair of voxels weighed once for both: per pair of voxels
2 C (differences, squares) + 6 (three sums of three) + 14 (scaling, clipping, power of two), and for each of the
two voxels C + 1 (weighted sums, sum of weights), 16 per cycle and core (two units of eight lanes), at the clock
that the system states. Two passes are those of `lmmse`: the second adds for each of a voxel's neighbours in its
window 4 C + 15 (differences, squares, weight, weighted sums) and C (C + 1) / 2 (products), and C^3 / 6 + 4 C^2
for the solution; every voxel weighs its neighbours for itself. Rows of `cubin` give registers, shared memory
and spills of the GPU's kernels; nlm takes components in blocks of four, so they hold for any number.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench import nvrtc
from bench.timing import Timing, devices, measure, parser, ratio, report, write_json
from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.denoise.mnlm import MnlmParams, mnlm

COUNTS = (1, 4)
LANES = 16
ARCHITECTURES = ("sm_80", "sm_90")

CpuSeconds = dict[str, list[float]]


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "nlm")
    arguments.add_argument("--shape", type=int, nargs=3, default=(256, 256, 160), metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--edge", type=int, default=48, help="of the cube that peers run on")
    arguments.add_argument("--search-radius", type=int, default=5)
    arguments.add_argument("--patch-radius", type=int, default=1)
    arguments.add_argument("--no-peers", action="store_true")
    options = arguments.parse_args(argv)
    shape = (options.shape[0], options.shape[1], options.shape[2])
    radii = options.search_radius, options.patch_radius
    rounds = max(2, min(options.rounds, 3))  # each takes minutes
    results: list[dict[str, Any]] = []
    for device in devices(options):
        rows = [whole(shape, count, radii, device, rounds) for count in COUNTS]
        twice = [whole(shape, count, radii, device, rounds, lmmse=True) for count in COUNTS]
        if device.kind == "cpu" and not options.no_peers:
            rows += [_against_peers(options.edge, shape, row, radii, device, rounds) for row in rows]
        rows += twice + _cubin()
        results.append(report("nlm", device, rows, shape=shape, search=radii[0], patch=radii[1]))
    write_json(options.json, results)
    return 0


def whole(
    shape: tuple[int, int, int],
    count: int,
    radii: tuple[int, int],
    device: Device,
    rounds: int,
    *,
    lmmse: bool = False,
) -> dict[str, Any]:
    """Ours on the whole volume, in one pass or two."""
    images = device.asarray(images_of(shape, count))
    mask = device.xp.ones(shape, bool)
    seconds: CpuSeconds = {}
    run = _clocked("ours", lambda: ours(images, mask, radii, device, lmmse=lmmse), seconds)
    timing = measure({"ours": run}, device, rounds=rounds, warm_up=1)["ours"]
    voxels = float(np.prod(shape))
    pairs = voxels * (2 * radii[0] + 1) ** 3
    what = "whole, two passes" if lmmse else "whole"
    row = {"what": what, "components": count, **timing.as_dict(), "pairs_per_s": pairs / timing.median}
    speed = pairs / timing.median / 1e9
    line = f"{device!s:6} {what} {shape} {count} components: {timing.median:7.2f} s, {speed:.2f} G pairs/s"
    if device.kind == "cpu":
        operations = pairs * (2 * count + 11)
        if lmmse:
            second = 26 * (4 * count + 15 + count * (count + 1) / 2) + count**3 / 6 + 4 * count**2
            operations += voxels * second
        floor, used = operations / (LANES * _clock()), min(seconds["ours"])
        row |= {"cpu_s": used, "floor_cpu_s": floor, "ratio_to_floor": used / floor}
        line += f", {used:.2f} CPU s, {used / floor:.2f} x floor"
    print(line, flush=True)
    return row


def _against_peers(
    edge: int,
    shape: tuple[int, int, int],
    whole: dict[str, Any],
    radii: tuple[int, int],
    device: Device,
    rounds: int,
) -> dict[str, Any]:
    """The peers on a cube, in turns with ours."""
    count = whole["components"]
    images = images_of((edge, edge, edge), count)
    mask = np.ones(images.shape[:3], bool)
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(images, mask, radii, device),
        "ours blockwise": lambda: ours(images, mask, radii, device, blockwise=True),
    }
    runs |= _peers(images, radii, device)
    seconds: CpuSeconds = {}
    runs = {name: _clocked(name, run, seconds) for name, run in runs.items()}
    timings = measure(runs, device, rounds=rounds, warm_up=1)
    scale = float(np.prod(shape)) / edge**3
    row: dict[str, Any] = {"what": "peers", "components": count, "edge": edge}
    for name, timing in timings.items():
        used = min(seconds[name])
        row[name] = timing.as_dict() | {"cpu_s": used}
        if name == "ours":
            print(
                f"{device!s:6} cube of {edge}, {count} components: ours {timing.median:.3f} s, {used:.3f} CPU s"
            )
            continue
        row |= _compare(name, timing, timings["ours"], scale, whole["median_s"])
        more = used / min(seconds["ours"])
        row[f"{name}_cpu_over_ours"] = more
        print(f"       {name:16} {used:7.3f} CPU s, {more:5.1f} x ours", flush=True)
    return row


def _compare(name: str, theirs: Timing, ours: Timing, scale: float, whole: float) -> dict[str, float]:
    same, scaled = ratio(theirs, ours), theirs.median * scale / whole
    print(
        f"       {name:16} {theirs.median:7.3f} s, {same:5.1f} x ours; scaled to the whole volume "
        f"{theirs.median * scale:6.1f} s, {scaled:5.1f} x ours",
        flush=True,
    )
    return {f"{name}_over_ours": same, f"{name}_scaled_over_ours": scaled}


def ours(images: Array, mask: Array, radii: tuple[int, int], device: Device, **options: bool) -> Array:
    params = MnlmParams(search_radius=radii[0], patch_radius=radii[1], sigma=1.0, **options)
    return mnlm(images, mask, Grid(mask.shape, np.eye(4)), params, device=device)


def _clocked(name: str, run: Callable[[], object], seconds: CpuSeconds) -> Callable[[], object]:
    """`run` that also notes the CPU seconds of all threads."""

    def clocked() -> object:
        start = time.process_time()
        result = run()
        seconds.setdefault(name, []).append(time.process_time() - start)
        return result

    return clocked


def _cubin() -> list[dict[str, Any]]:
    """Resources of the GPU kernels, from the compiled cubins; nothing without NVRTC."""
    if find_spec("nvidia") is None:
        return []
    rows = []
    for source in ("nlm_packed.cu", "nlm.cu", "nlm_blocks.cu", "nlm_lmmse.cu"):
        for arch in ARCHITECTURES:
            for usage in nvrtc.compile_source(source, arch):
                rows.append({"what": "cubin", **asdict(usage)})
                print(
                    f"{usage.kernel:16} {arch}: {usage.registers} registers, "
                    f"{usage.shared_bytes} bytes shared, {usage.spills} spilled"
                )
    return rows


def _peers(images: Array, radii: tuple[int, int], device: Device) -> dict[str, Callable[[], object]]:
    search, patch = radii
    found: dict[str, Callable[[], object]] = {}
    if find_spec("dipy") is not None:
        from dipy.denoise.nlmeans import nlmeans

        common = {"sigma": 1.0, "rician": False, "num_threads": device.threads}
        volumes = [np.ascontiguousarray(images[..., c]) for c in range(images.shape[3])]
        found["DIPY classic"] = lambda: [
            nlmeans(v, method="classic", patch_radius=patch, block_radius=search + patch, **common)
            for v in volumes
        ]
        found["DIPY blockwise"] = lambda: [
            nlmeans(v, method="blockwise", patch_radius=search, block_radius=patch, **common) for v in volumes
        ]
    if find_spec("skimage") is not None:
        from skimage.restoration import denoise_nl_means

        found["scikit-image"] = lambda: denoise_nl_means(
            images, patch_size=2 * patch + 1, patch_distance=search, h=1.0, fast_mode=True, channel_axis=-1
        )
    return found


def images_of(shape: tuple[int, int, int], count: int) -> Array:
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(0, 12, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    structure = 50 + 10 * np.sin(axes[0]) * np.cos(axes[1]) * np.sin(axes[2] + 1)
    images = rng.standard_normal((*shape, count), dtype=np.float32)
    images += structure[..., np.newaxis]
    return images


def _clock() -> float:
    """Cycles per second as the system states them; 3e9 where it does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 3e9
    found = re.search(r"cpu MHz\s*:\s*([\d.]+)", text)
    return 3e9 if found is None else 1e6 * float(found[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
