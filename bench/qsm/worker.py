"""A separate process for one run: `python -m bench.qsm.worker FOLDER JSON` prints the result as JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.qsm import heads, runs, whole
from qsmengine.backend.device import resolve_device
from qsmengine.errors import QsmengineError


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Result of a job, with the peak memory of this process."""
    if job["what"] == "head":
        heads.make_head(folder, tuple(job["shape"]), job["echoes"])
        return {}
    if job["what"] == "files":
        whole.write_files(folder, tuple(job["shape"]))
        return {}
    device = resolve_device(job["device"], job["threads"])
    if job["what"] == "machine":
        return describe(device)
    if job["what"] == "command":
        return whole.run_command(folder, job["preset"], job["device"], device.threads, job["rounds"])
    if job["what"] == "preset":
        result = runs.run_preset(folder, job["preset"], job["echoes"], device)
    elif job["what"] == "method":
        result = runs.run_method(folder, job["stage"], job["name"], device)
    else:
        result = runs.run_growth(folder, job["region"], device)
    return {**result, "peak_gib": peak_bytes() / 2**30}


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    Linux hands ru_maxrss on from the process that started this one; VmHWM begins anew.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(argv: list[str]) -> int:
    try:
        print(json.dumps(run(Path(argv[0]), json.loads(argv[1]))))
    except QsmengineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
