"""Options and rows of `python -m bench cohort`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.cohort.kills import measure_kills
from bench.cohort.plan import measure_plan
from bench.cohort.renames import measure_renames
from bench.cohort.report import measure_report
from bench.cohort.scaling import measure_scaling, measure_scheduler
from bench.timing import parser, report, write_json
from qsmengine.backend.device import resolve_device

PLAN = (
    "plan {sessions} sessions ({files} files, {steps} steps): {seconds:.1f} s ({cpu_seconds:.1f} s of CPU), "
    "peak {peak_mib:.0f} MiB"
)
REPORT = (
    "report of {sessions} sessions without images ({files} files): {seconds:.1f} s ({cpu_seconds:.1f} s of "
    "CPU), peak {peak_mib:.0f} MiB; the cohort page alone: {cohort_seconds:.1f} s ({cohort_cpu:.1f} s of "
    "CPU), {page_mib:.1f} MiB and {parts} parts without scripts, opens in {opens}"
)
SCALING = (
    "{workers} workers, {sessions} sessions of {step_seconds:.2f} s: {sessions_per_hour:.0f} an hour, overhead "
    "{overhead:.1%}, {seconds:.1f} s in all"
)
SCHEDULER = (
    "{sessions} sessions of {stub_ms:.0f} ms on {workers} workers: {seconds:.1f} s, {ms_per_session:.2f} ms a "
    "session beside them"
)
KILLS = (
    "{kills} {who} killed: {outcome}, {again} steps done twice, {left} temporary files left ({seconds:.0f} s)"
)

RENAMES = (
    "{kills} kills of `qsm --force` as it publishes: {old} left the old files, {new} the new ones; "
    "mixed: {mixed}, not cleaned by the next run: {left} ({seconds:.0f} s)"
)


def main(argv: list[str]) -> int:
    arguments = _parser()
    options = arguments.parse_args(argv)
    if not any(
        (options.plan, options.report, options.scaling, options.scheduler, options.kills, options.renames)
    ):
        arguments.print_usage(sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.plan:
            rows.append(measure_plan(Path(folder) / "bids", options.plan))
            print(PLAN.format(**rows[-1]))
        if options.report:
            rows.append(measure_report(Path(folder) / "results", options.report))
            print(REPORT.format(**rows[-1]))
        if options.scaling:
            for row in measure_scaling(Path(folder) / "scaling", options.scaling, options.preset):
                rows.append(row)
                print(SCALING.format(**row))
        if options.scheduler:
            rows.append(measure_scheduler(Path(folder) / "scheduler", options.scheduler))
            print(SCHEDULER.format(**rows[-1]))
        if options.kills:
            for row in measure_kills(Path(folder) / "kills", options.kills, options.seed):
                rows.append(row)
                print(KILLS.format(**row))
        if options.renames:
            rows.append(measure_renames(Path(folder) / "renames", options.renames))
            print(RENAMES.format(**rows[-1]))
    write_json(options.json, [report("cohort", resolve_device("cpu", options.threads), rows)])
    return 0


def _parser() -> argparse.ArgumentParser:
    arguments = parser(__doc__, "cohort")
    arguments.add_argument(
        "--plan", type=int, metavar="N", help="plan N sessions of tiny images: seconds and peak memory"
    )
    arguments.add_argument(
        "--report", type=int, metavar="N", help="report N sessions without images: pages, tables, index"
    )
    arguments.add_argument(
        "--scaling", type=int, metavar="N", help="N virtual sessions with no, one and two workers"
    )
    arguments.add_argument("--preset", default="fast", help="of --scaling")
    arguments.add_argument("--scheduler", type=int, metavar="N", help="N sessions that compute nothing")
    arguments.add_argument(
        "--kills", type=int, metavar="N", help="kill the leading process N times, and workers N times"
    )
    arguments.add_argument(
        "--renames", type=int, metavar="N", help="kill `qsm --force` N times as it publishes"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of --kills")
    arguments.add_argument("--folder", type=Path, help="where to make the dataset; a temporary folder")
    return arguments
