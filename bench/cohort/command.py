"""Options and rows of `python -m bench cohort`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.cohort.plan import measure_plan
from bench.timing import parser, report, write_json
from qsmengine.backend.device import resolve_device


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "cohort")
    arguments.add_argument(
        "--plan", type=int, metavar="N", help="plan N sessions of tiny images: seconds and peak memory"
    )
    arguments.add_argument("--folder", type=Path, help="where to make the dataset; a temporary folder")
    options = arguments.parse_args(argv)
    if options.plan is None:
        arguments.print_usage(sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows.append(measure_plan(Path(folder) / "bids", options.plan))
    row = rows[-1]
    print(
        f"plan {row['sessions']} sessions ({row['files']} files, {row['steps']} steps): {row['seconds']:.1f} s "
        f"({row['cpu_seconds']:.1f} s of CPU), peak {row['peak_mib']:.0f} MiB"
    )
    write_json(options.json, [report("cohort", resolve_device("cpu", options.threads), rows)])
    return 0
