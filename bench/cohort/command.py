"""Options and rows of `python -m bench cohort`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from bench.cohort.kills import measure_kills
from bench.cohort.plan import measure_plan
from bench.cohort.renames import measure_renames
from bench.cohort.report import measure_report
from bench.cohort.scaling import measure_scaling, measure_scheduler
from bench.cohort.session_cost import measure_session
from bench.cohort.simulation import Site, simulate
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
    "session in addition; leading process {leader_ms:.2f} ms of CPU, {messages_per_session:.1f} messages, "
    "{kib_per_session:.1f} KiB a session"
)
KILLS = (
    "{kills} {who} killed: {outcome}, {again} steps done twice, {left} temporary files left ({seconds:.0f} s)"
)

RENAMES = (
    "{kills} kills of `qsm --force` as it publishes: {old} left the old files, {new} the new ones; "
    "mixed: {mixed}, not cleaned by the next run: {left} ({seconds:.0f} s)"
)
SESSION = (
    "session of {shape} at {voxel_mm} mm, {preset}: {seconds:.1f} s, of which reconstruction "
    "{compute_seconds:.1f} s and host {host_seconds:.1f} s; page {page_seconds:.1f} s; {input_mb:.0f} MB in, "
    "{output_mb:.0f} MB out in {files} files, peak {peak_mib:.0f} MiB; {operations}"
)
SIMULATION = (
    "{sessions} sessions of {session_seconds:.2f} s on {gpus} GPUs: {hours:.2f} h, {sessions_per_hour:.0f} "
    "an hour, GPUs in use {gpu_use:.1%}, leading process {leader_use:.1%}, {losses} GPUs lost, {retries} "
    "retries (simulated in {real_seconds:.0f} s)"
)


Rows: TypeAlias = list[dict[str, Any]]
PARTS: dict[str, tuple[str, Callable[[Path, argparse.Namespace], Rows]]] = {
    "plan": (PLAN, lambda folder, o: [measure_plan(folder, o.plan)]),
    "report": (REPORT, lambda folder, o: [measure_report(folder, o.report)]),
    "scaling": (SCALING, lambda folder, o: measure_scaling(folder, o.scaling, o.preset)),
    "scheduler": (SCHEDULER, lambda folder, o: [measure_scheduler(folder, o.scheduler, o.workers)]),
    "session": (SESSION, lambda folder, o: [measure_session(folder, o.session, o.preset)]),
    "simulate": (SIMULATION, lambda folder, o: [simulate(folder, _site(o))]),
    "kills": (KILLS, lambda folder, o: measure_kills(folder, o.kills, o.seed)),
    "renames": (RENAMES, lambda folder, o: [measure_renames(folder, o.renames)]),
}
"""Format of the rows of a part, and the function that measures them in a folder."""


def main(argv: list[str]) -> int:
    arguments = _parser()
    options = arguments.parse_args(argv)
    asked = [name for name in PARTS if getattr(options, name)]
    if not asked:
        arguments.print_usage(sys.stderr)
        return 2
    rows: Rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in asked:
            text, measure = PARTS[name]
            for row in measure(Path(folder) / name, options):
                rows.append(row)
                print(text.format(**row))
    write_json(options.json, [report("cohort", resolve_device("cpu", options.threads), rows)])
    return 0


def _site(options: argparse.Namespace) -> Site:
    host, device = options.seconds
    return Site(options.simulate, options.gpus, host, device, leader=options.leader)


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
    arguments.add_argument("--preset", default="fast", help="of --scaling and --session")
    arguments.add_argument("--scheduler", type=int, metavar="N", help="N sessions that compute nothing")
    arguments.add_argument("--workers", type=int, default=2, help="of --scheduler")
    arguments.add_argument(
        "--session", type=float, metavar="MM", help="one session with voxels of MM: host seconds, files, bytes"
    )
    arguments.add_argument(
        "--simulate", type=int, metavar="N", help="N sessions in virtual time, with the real leading loop"
    )
    arguments.add_argument("--gpus", type=int, default=64, help="of --simulate")
    arguments.add_argument(
        "--seconds",
        type=float,
        nargs=2,
        metavar=("HOST", "GPU"),
        default=(3.0, 0.3),
        help="of a session on the host and on the GPU, for --simulate",
    )
    arguments.add_argument(
        "--leader", type=float, default=0.015, help="scheduler's seconds for a session, for --simulate"
    )  # fmt: skip
    arguments.add_argument(
        "--kills", type=int, metavar="N", help="kill the leading process N times, and workers N times"
    )
    arguments.add_argument(
        "--renames", type=int, metavar="N", help="kill `qsm --force` N times as it publishes"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of --kills")
    arguments.add_argument("--folder", type=Path, help="where to make the dataset; a temporary folder")
    return arguments
