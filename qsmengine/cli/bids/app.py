"""``qsmengine-bids``: the contract of BIDS Apps, ``qsmengine-bids BIDS OUT participant|group``, or both levels.

Exit codes are those of ``qsmengine``: 0 all sessions done, 1 some failed, 2 usage, 3 input, 4 environment, 130
interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qsmengine.cli.bids.arguments import memory_bytes, parse
from qsmengine.cli.commands.doctor import version_line
from qsmengine.cli.display.reporter import Reporter, print_error
from qsmengine.errors import DeviceError, InputError, UsageError, describe

if TYPE_CHECKING:
    from qsmengine.cohort.plan.model import CohortPlan
    from qsmengine.cohort.run import CohortOutcome

SOME_FAILED = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code. Expected errors become one message on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-v", "--version"} & set(arguments):
        print(version_line())  # noqa: T201
        return 0
    log_json = bool({"--log-json", "--log_json"} & set(arguments))
    try:
        return run(parse(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    except KeyboardInterrupt:
        print_error("interrupted", log_json=log_json)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001
        if "--verbose" in arguments:
            traceback.print_exception(error)
        message, code = describe(error)
        print_error(message, log_json=log_json)
        return code


def run(options: Namespace) -> int:
    """Execute parsed arguments; return the exit code."""
    reporter = Reporter(verbose=options.verbose, quiet=options.quiet, log_json=options.log_json)
    _check(options)
    prepare_work(None if options.work_dir is None else Path(options.work_dir))
    device = choose_gpus(options.gpus, options.device)
    out = Path(options.output_dir)
    if options.reports_only:
        return _report(out, reporter)
    code = 0
    if "participant" in options.analysis_level:
        code = _participants(options, out, device, reporter)
        if options.dry_run or code not in {0, SOME_FAILED}:
            return code
    return _group(options, out, reporter) or code if "group" in options.analysis_level else code


def prepare_work(folder: Path | None) -> None:
    """Redirect temporary files and caches to a folder, through environment variables that workers inherit.

    GPU kernels precompiled in a container image (QSMENGINE_KERNEL_CACHE) are copied to CuPy's cache
    (CUPY_CACHE_DIR), because CuPy adds further kernels there and the image may be read-only.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    if folder is not None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = str(folder)
        os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
        os.environ["CUPY_CACHE_DIR"] = str(folder / "cupy")
    baked, cache = os.environ.get("QSMENGINE_KERNEL_CACHE"), os.environ.get("CUPY_CACHE_DIR")
    if not baked or not cache or not Path(baked).is_dir() or Path(cache).resolve() == Path(baked).resolve():
        return
    from qsmengine.io.atomic import write_atomic

    for path in sorted(Path(baked).iterdir()):
        if path.is_file() and not (Path(cache) / path.name).exists():
            write_atomic(Path(cache) / path.name, [path.read_bytes()])


def choose_gpus(gpus: str | None, device: str) -> str:
    """Return the device for `gpus` ("0,1", "all", "none") and make only the chosen GPUs visible.

    Raises
    ------
    UsageError
        For any other form, or for "none" together with a GPU device.
    """
    if gpus in {None, "all"}:
        return device
    if gpus == "none":
        if device.startswith("cuda"):
            raise UsageError(f"--gpus none and --device {device} exclude each other")
        return "cpu"
    numbers = str(gpus).split(",")
    if not all(number.strip().isdigit() for number in numbers):
        raise UsageError(f"--gpus {gpus!r}: expected numbers such as 0,1, or all, or none")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(number.strip() for number in numbers)
    return device


def share_cores(nprocs: int | None, omp_nthreads: int | None, device: str) -> tuple[int | None, int | None]:
    """Return the number of workers and the threads per worker; None leaves the choice to the run.

    As in other BIDS Apps, `nprocs` is the total number of cores and `omp_nthreads` the cores per worker.
    With GPUs there is one worker per GPU, and the workers share the cores.
    """
    if not nprocs:
        return nprocs, omp_nthreads
    from qsmengine.backend.device import cuda_devices
    from qsmengine.cohort.pools.cluster import THREADS

    gpus = cuda_devices()[0] if device in {"auto", "cuda"} else int(device.startswith("cuda:"))
    if gpus:
        return None, omp_nthreads or max(1, nprocs // gpus)
    threads = min(omp_nthreads or THREADS, nprocs)
    return max(1, nprocs // threads), threads


def _check(options: Namespace) -> None:
    """Raise for mutually exclusive arguments and for missing folders."""
    if options.resume and (options.no_resume or options.force):
        raise UsageError("--resume cannot be combined with --no-resume or --force")
    if options.design is not None and "group" not in options.analysis_level:
        raise UsageError("--design requires the analysis level group")
    if options.mem is not None:
        memory_bytes(options.mem)
    if not Path(options.bids_dir).is_dir():
        raise InputError("no such folder", source=options.bids_dir)


def _participants(options: Namespace, out: Path, device: str, reporter: Reporter) -> int:
    from qsmengine.cli.display.cohort import CohortView
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cohort.run import run_cohort
    from qsmengine.cohort.settings import RunSettings

    plan = _plan(options, out)
    if options.dry_run:
        return _show(plan, device, reporter)
    if options.scheduler is None and options.slurm is None:
        choose_device(device, None, reporter, launch=False)
    workers, threads = share_cores(options.nprocs, options.omp_nthreads, device)
    settings = RunSettings(
        workers=workers,
        device=device,
        threads=threads,
        memory=None if options.mem is None else memory_bytes(options.mem),
        scheduler=options.scheduler,
        slurm=None if options.slurm is None else Path(options.slurm),
        force=options.force or options.no_resume,
        stop_on_first_crash=options.stop_on_first_crash,
    )

    view = CohortView(reporter)
    reporter.notes(plan.notes)
    with view:
        outcome = run_cohort(plan, settings, view.on_event)
    view.summary(outcome)
    reported = 0 if outcome.interrupted else _report(out, reporter, changed_pages(out, outcome))
    return int(outcome.exit_code) or reported


def _plan(options: Namespace, out: Path) -> CohortPlan:
    from qsmengine.cohort.plan.build import plan_cohort
    from qsmengine.pipeline.configuration.config import load_config

    config = None if options.config is None else Path(options.config)
    return plan_cohort(
        options.bids_dir,
        out,
        load_config(config, preset=options.preset, settings=options.set or ()),
        participants=_labels(options.participant_label),
        sessions=_labels(options.session_label),
        filter_file=options.bids_filter_file,
        derivatives=tuple(options.derivatives or ()),
        steps=options.steps,
        lut=options.lut,
        atlases=options.atlas or (),
        echo_times=options.echo_times,
        field_strength=options.field_strength,
    )


def _show(plan: CohortPlan, device: str, reporter: Reporter) -> int:
    """Print a plan; return 1 if any part of it cannot run."""
    from qsmengine.backend.memory import available_memory
    from qsmengine.cli.display.plan import print_cohort
    from qsmengine.cli.options.devices import choose_device

    chosen = choose_device(device, None, reporter)
    print_cohort(reporter, plan, chosen, available_memory(chosen))
    return int(any(s.problems or any(step.problems for step in s.steps) for s in plan.sessions))


def changed_pages(out: Path, outcome: CohortOutcome) -> list[str]:
    """Return the sessions without a page and those that were not already complete before this run."""
    return [key for key in outcome.records if key not in outcome.skipped or not (out / f"{key}.html").is_file()]


def _report(out: Path, reporter: Reporter, sessions: Iterable[str] | None = None) -> int:
    """Write pages; return 1 if any is of a damaged session. If packages are missing, only print a note."""
    problems = list[str]()
    try:
        from qsmengine.cohort.outputs.reports import write_reports

        index = write_reports(out, sessions, on_problem=problems.append, on_note=reporter.note)[-1]
    except DeviceError as error:
        if sessions is None:
            raise
        reporter.note(f"no pages written: {error}")
        return 0
    reporter.say(str(index), file=str(index))
    reporter.notes(problems)
    return int(bool(problems))


def _group(options: Namespace, out: Path, reporter: Reporter) -> int:
    """Write the cohort's table and pages, and fit the models of --design."""
    from qsmengine.cli.commands.group import run_design
    from qsmengine.cohort.outputs.group_tables import write_group_table

    if options.dry_run:
        raise UsageError("--dry-run requires the analysis level participant")
    table = write_group_table(out)
    reporter.say(str(table), file=str(table))
    if options.design is not None:
        people = Path(options.participants or Path(options.bids_dir) / "participants.tsv")
        run_design(Path(options.design), out, out / "group", people, reporter, force=True)
    return _report(out, reporter)


def _labels(texts: Sequence[str] | None) -> list[str] | None:
    """Split labels joined by commas; return None if the option was not given."""
    return None if not texts else [label for text in texts for label in text.split(",") if label]
