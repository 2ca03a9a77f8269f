"""Command line of the study."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.accuracy import heads
from bench.accuracy.chains import Chain, preset_chains
from bench.accuracy.document import document
from bench.accuracy.people import DEVELOPMENT, HELD_OUT
from bench.accuracy.records import Study
from bench.accuracy.scenarios import BASE, factorial, goals, kinds, variations
from bench.accuracy.study import (
    Job,
    Store,
    combination_jobs,
    goal_jobs,
    kind_jobs,
    leading_chains,
    preset_jobs,
    run_study,
    stage_jobs,
)
from bench.accuracy.worker import Worker
from bench.machine import describe
from qsmengine.backend.device import resolve_device

PARTS = ("stages", "combinations", "goals", "kinds", "presets", "forward")
QUICK_PARTS = ("goals", "kinds")
QUICK_VOXEL_SIZE = 2.0


def main(argv: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    voxel_size, goal_size = options.voxel_size, options.goal_voxel_size
    tuning, subjects = tuple(options.development), tuple(options.heads)
    wanted = set(options.parts or (QUICK_PARTS if options.quick else PARTS))
    if options.quick:
        voxel_size = goal_size = QUICK_VOXEL_SIZE
        tuning, subjects = tuning[:1], subjects[:1]
    lines = goals(goal_size)
    scenarios = variations(voxel_size)
    base = replace(BASE, voxel_size=voxel_size, sampling="qsm-forward")
    forward = [Job(base, subject, chain) for subject in subjects for chain in preset_chains("raw", base.echoes)]
    if "forward" in wanted and not heads.forward_available():
        print("qsm-forward is not installed (pip install qsm-forward): its heads are left out")
        wanted.discard("forward")
    store = Store(options.out)
    store.forget(options.again)
    worker = Worker(options.device, options.max_seconds)

    def leading() -> list[Chain]:
        return leading_chains(store, scenarios[0], tuning, options.leading)

    makers: dict[str, Callable[[], list[Job]]] = {
        "stages": lambda: stage_jobs(scenarios[0], tuning),
        "combinations": lambda: combination_jobs(scenarios[0], tuning),
        "goals": lambda: goal_jobs(lines, options.goal_heads or subjects, leading()),
        "kinds": lambda: kind_jobs(kinds(voxel_size), subjects, leading()),
        "presets": lambda: preset_jobs(factorial(voxel_size) if options.factorial else scenarios, subjects),
        "forward": lambda: forward,
    }
    jobs: dict[str, list[Job]] = {name: [] for name in makers}
    begin = time.perf_counter()
    try:
        for name in (name for name in makers if name in wanted):
            print(f"== {name}", flush=True)
            jobs[name] = [job for job in makers[name]() if _chosen(job, options.only)]
            run_study(jobs[name], store, worker, options.cache, max_seconds=options.max_seconds)
    finally:
        worker.close()
    print(f"{time.perf_counter() - begin:.0f} s")
    if options.doc is not None:
        facts = describe(resolve_device(options.device))
        study = Study(store, jobs, lines, facts, _arguments(options, parser))
        options.doc.parent.mkdir(parents=True, exist_ok=True)
        options.doc.write_text(document(study), encoding="utf-8")
        print(options.doc)
    return 0


def _arguments(options: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """Return the arguments that differ from their defaults and that the results depend on."""
    chosen = {name: getattr(options, name) for name in ("voxel_size", "leading", "max_seconds")}
    given = "".join(
        f" --{name.replace('_', '-')} {value:g}"
        for name, value in chosen.items()
        if value != parser.get_default(name)
    )
    for name in ("parts", "heads", "goal_heads", "only"):
        value = getattr(options, name)
        if value and value != parser.get_default(name):
            given += f" --{name.replace('_', '-')} {' '.join(map(str, value))}"
    return f"{given} --quick" if options.quick else given


def _chosen(job: Job, names: Sequence[str]) -> bool:
    return not names or any(name in job.chain.name for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench accuracy", description=__doc__)
    add = parser.add_argument
    add(
        "--quick", action="store_true",
        help=f"goals and kinds on one held-out head at {QUICK_VOXEL_SIZE:g} mm: minutes instead of hours",
    )  # fmt: skip
    add("--parts", nargs="+", choices=PARTS, help="what to run [default: all; with --quick goals and kinds]")
    add("--voxel-size", type=float, default=2.0, help="of tables, kinds and presets [mm, default: 2]")
    add("--goal-voxel-size", type=float, default=1.0, help="of the goal lines [mm, default: 1]")
    add("--leading", type=int, default=2, help="best chains of each table on the goal lines too [default: 2]")
    add(
        "--heads", type=int, nargs="+", choices=tuple(HELD_OUT), default=tuple(HELD_OUT),
        help="held-out heads, for goals, kinds and presets [default: all]",
    )  # fmt: skip
    add(
        "--goal-heads", type=int, nargs="+", choices=tuple(HELD_OUT),
        help="held-out heads for goals, if not those of --heads",
    )  # fmt: skip
    add(
        "--development", type=int, nargs="+", choices=tuple(DEVELOPMENT), default=tuple(DEVELOPMENT),
        help="heads of the tables by which chains are chosen: stages and combinations [default: all]",
    )  # fmt: skip
    add("--factorial", action="store_true", help="presets on all 36 acquisitions instead of 8")
    add("--max-seconds", type=float, default=60.0, help="a chain that takes longer is given up [default: 60]")
    add("--only", nargs="+", default=(), metavar="NAME", help="only chains whose name contains NAME")
    add("--again", nargs="+", default=(), metavar="NAME", help="run chains again whose name contains NAME")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 [default: cpu]")
    add("--cache", type=Path, default=heads.default_folder(), help="folder of the heads")
    add(
        "--out", type=Path, default=heads.default_folder() / "accuracy.jsonl",
        help="file of the records; what it holds is not run again",
    )  # fmt: skip
    add("--doc", type=Path, nargs="?", const=Path("docs/qsm-accuracy.md"), help="write the document here")
    return parser
