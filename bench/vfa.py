"""`python -m bench vfa`: `qsmengine vfa` as a user types it, reading the images alone, and qmrpy's fit of R1.

Two flip angles with two echoes each, a mask and a B1 map, as .nii.gz with noise. The command computes all maps
with standard deviations and writes them. `read` reads the four images with the engine's reader. If qmrpy is
installed, its linear fit of R1 runs on some voxels of the mask in the same rounds, and its time is scaled to
all of them; it does not read, fit R2*, or write. The smallest time of the rounds counts.

`--part heads` measures errors on drawn heads instead, see :mod:`bench.vfa_heads`; with `--chi PRESET` also
those of susceptibility, from all flip angles and from each.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench import vfa_heads
from bench.process import Process
from bench.timing import measure, parser, report, write_json
from qsmengine.backend.device import Device, resolve_device
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.io.vfa import open_vfa, read_vfa
from qsmengine.phantom.vfa import VfaSettings, b1_map, vfa_signal, with_noise

SETTINGS = VfaSettings()
PARTS = ("times", "heads")
"""Parts of the measurement; heads on request only."""
SAMPLE = 2000
"""Voxels of which qmrpy fits R1."""


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "vfa")
    arguments.add_argument("--part", nargs="+", choices=PARTS, default=PARTS[:1], help="what is measured")
    arguments.add_argument("--shape", type=int, nargs=3, default=(256, 256, 160), metavar=("NX", "NY", "NZ"))
    arguments.add_argument(
        "--heads", type=int, nargs="+", default=range(301, 304), help="numbers of drawn heads"
    )
    arguments.add_argument("--edge", type=float, default=2.0, help="voxel edge of heads [mm]")
    arguments.add_argument("--snr", type=float, default=60.0, help="of heads")
    arguments.add_argument("--chi", metavar="PRESET", help="also susceptibility of the heads, with a preset")
    options = arguments.parse_args(argv)
    device = resolve_device((options.device or ["cpu"])[0], options.threads)
    results: dict[str, Any] = {}
    if "times" in options.part:
        shape = (options.shape[0], options.shape[1], options.shape[2])
        results["times"] = seconds_of_commands(shape, device, options.rounds)
    if "heads" in options.part:
        results["heads"] = vfa_heads.table(options.heads, options.edge, options.snr, device, options.chi)
    write_json(options.json, [report("vfa", device, [results], rounds=options.rounds)])
    return 0


def seconds_of_commands(shape: tuple[int, int, int], device: Device, rounds: int) -> dict[str, Any]:
    """Print and return the seconds of the command, of reading, and of qmrpy where it is installed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, signal, mask = write_case(folder, shape)
        command = [
            sys.executable,
            "-m",
            "qsmengine",
            "vfa",
            "--magnitude",
            *map(str, paths),
            "--force",
            "--quiet",
        ]
        command += ["--mask", str(folder / "mask.nii.gz"), "--b1", str(folder / "b1.nii.gz")]
        command += ["--out", str(folder / "out"), "--device", device.kind, "--threads", str(device.threads)]
        ours = Process(command, folder)
        runs: dict[str, Callable[[], object]] = {"ours": ours, "read": lambda: read_vfa(open_vfa(paths))}
        if find_spec("qmrpy") is not None:
            runs["qmrpy"] = _qmrpy(signal[mask][:SAMPLE])
        timings = measure(runs, device, rounds=rounds, warm_up=1)
    times = {run: min(timing.seconds) for run, timing in timings.items()}
    voxels = int(mask.sum())
    if "qmrpy" in times:
        times["qmrpy"] *= voxels / min(SAMPLE, voxels)
    for run, seconds in times.items():
        print(f"{run:6} {seconds:9.3f} s  {seconds / times['ours']:8.2f} times the command")
    print(f"CPU seconds of the command: {min(ours.cpu):.2f}")
    return {"shape": list(shape), "voxels": voxels, "our_cpu": min(ours.cpu), **times}


def write_case(
    folder: Path, shape: tuple[int, int, int]
) -> tuple[list[Path], np.ndarray[Any, np.dtype[Any]], np.ndarray[Any, np.dtype[Any]]]:
    """Write images with sidecars, mask and B1; return the images' paths, the first echoes and the mask."""
    grid = Grid.from_voxel_size(shape, (1.0, 1.0, 1.0), field_strength=3.0)
    x, y, z = np.meshgrid(
        *(np.linspace(-1.2, 1.2, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True
    )
    mask = np.asarray(x**2 + y**2 + z**2 < 1)
    b1 = b1_map(grid, (0.0, 0.0, 0.0), SETTINGS.b1_spread)
    folds = np.sin(20 * x) * np.sin(23 * y) * np.sin(19 * z)
    r1, r2star = np.float32(0.9) + np.float32(0.3) * folds, np.float32(20) + np.float32(8) * folds
    m0, ones = np.where(mask, 0.8, 0.02).astype(np.float32), np.ones(shape, np.float32)
    clean = vfa_signal(r1=r1, r2star=r2star, m0=m0, b1=b1, sensitivity=ones, grid=grid, settings=SETTINGS)
    signal = with_noise(clean.signal, 60.0, mask, np.random.default_rng(1))
    paths = []
    for volume, flip in enumerate(clean.flip_angles):
        paths.append(folder / f"vfa_{volume}.nii.gz")
        write_image(paths[-1], np.rint(signal[..., volume]).astype(np.int16), grid)
        sidecar = {
            "FlipAngle": flip, "RepetitionTimeExcitation": clean.repetition_times[volume],
            "EchoTime": clean.echo_times[volume],
        }  # fmt: skip
        (folder / f"vfa_{volume}.json").write_text(json.dumps(sidecar), encoding="utf-8")
    write_image(folder / "mask.nii.gz", mask, grid)
    write_image(folder / "b1.nii.gz", b1, grid)
    return paths, signal[..., :: len(SETTINGS.echo_times)], mask


def _qmrpy(signal: np.ndarray[Any, np.dtype[Any]]) -> Callable[[], object]:
    """Return qmrpy's linear fit of R1 to voxels (voxel, flip angle)."""
    module = import_module("qmrpy.models.t1.vfa_t1")
    model = module.T1VFA(
        flip_angle_deg=np.array(SETTINGS.flip_angles), tr_ms=1e3 * SETTINGS.repetition_times[0]
    )
    return lambda: [model.fit_linear(voxel) for voxel in signal]
