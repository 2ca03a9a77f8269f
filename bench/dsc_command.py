"""The whole command `qsmengine dsc`, from a scanner's integers to maps, and osipy's on the same series.

Both read the same series (int16, gzip) and the same brain mask and write their maps, in turns. Without a mask,
`qsmengine` also finds the brain; osipy has no such step.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.process import Process
from bench.timing import measure, ratio
from qsmengine.backend.device import Device
from qsmengine.io import write_image, write_json

if TYPE_CHECKING:
    from bench.dsc import Case


def seconds_of_commands(
    case: Case, device: Device, rounds: int, methods: tuple[str, ...], osipy: str | None
) -> dict[str, Any]:
    """Seconds and CPU seconds of each command, and how many times those of osipy's are longer.

    `osipy` is the path of its command; None: the one on the path, if there is one.
    """
    peer = shutil.which(osipy or "osipy")
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write(case, folder)
        runs = {f"{method}, mask": _ours(folder, method, device, masked=True) for method in methods}
        runs |= {method: _ours(folder, method, device, masked=False) for method in methods}
        if peer is not None:
            runs["osipy, mask"] = _theirs(peer, folder)
        timings = measure(runs, device, rounds=rounds, warm_up=1)
    found: dict[str, Any] = {}
    for name, timing in timings.items():
        cpu = min(runs[name].cpu[1:])
        found[name] = timing.as_dict() | {"cpu_s": cpu}
        line = f"{device!s:6} command {name:18} {min(timing.seconds):7.2f} s   CPU {cpu:6.2f} s"
        if peer is not None and name != "osipy, mask":
            found[name]["faster"] = ratio(timings["osipy, mask"], timing)
            share = min(runs["osipy, mask"].cpu[1:]) / cpu
            line += (
                f"   osipy takes {found[name]['faster']:.1f} times as long, {share:.1f} times the CPU seconds"
            )
        print(line, flush=True)
    return found


def _write(case: Case, folder: Path) -> None:
    from bench.dsc import ARRIVAL, ECHO_TIME, STEP

    write_image(folder / "perf.nii.gz", np.rint(case.signal).astype(np.int16), case.grid)
    write_json(folder / "perf.json", {"EchoTime": ECHO_TIME, "RepetitionTime": STEP})
    write_image(folder / "mask.nii.gz", case.mask, case.grid)
    lines = [
        "modality: dsc", "pipeline:", f"  te: {1e3 * ECHO_TIME:g}",
        f"  baseline_frames: {int(ARRIVAL / STEP) - 1}", "data:", f"  mask: {folder / 'mask.nii.gz'}", "",
    ]  # fmt: skip
    (folder / "osipy.yaml").write_text("\n".join(lines), encoding="utf-8")


def _ours(folder: Path, method: str, device: Device, *, masked: bool) -> Process:
    command = [
        sys.executable,
        "-m",
        "qsmengine",
        "dsc",
        "--dsc",
        str(folder / "perf.nii.gz"),
        "--method",
        method,
    ]
    command += ["--out", str(folder / "ours"), "--device", str(device), "--threads", str(device.threads)]
    command += ["--mask", str(folder / "mask.nii.gz")] if masked else []
    return Process([*command, "--force", "--quiet"], folder)


def _theirs(command: str, folder: Path) -> Process:
    options = [str(folder / "osipy.yaml"), str(folder / "perf.nii.gz"), "--output", str(folder / "theirs")]
    return Process([command, *options], folder)
