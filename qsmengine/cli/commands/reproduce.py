"""``qsmengine reproduce``: a published study on virtual cohorts, compared with the published findings."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Argument, Option
from qsmengine.errors import UsageError


class Study(StrEnum):
    """Studies that can be reproduced."""

    pontillo2019 = "pontillo2019"
    schweser2018 = "schweser2018"


class Level(StrEnum):
    """Starting point of a reproduction."""

    table = "table"
    raw = "raw"
    scanner = "scanner"


_Asked: TypeAlias = tuple[int, int | None, float]
"""Seed, participants per group, voxel size."""
_Places: TypeAlias = tuple[str, int | None, int | None]
"""Device, threads, workers."""


class _Made(Protocol):
    def lines(self) -> list[str]: ...


def reproduce(
    *,
    study: Annotated[Study, Argument(help="study to reproduce")],
    out: Annotated[Path, Argument(help="folder for tables, figures and the page")],
    level: Annotated[
        Level,
        Option(
            "--level",
            help="start from drawn regional values or maps (table), from simulated raw signals (raw), or from "
            "raw images of every modality that go through run (scanner)",
        ),
    ] = Level.table,
    seeds: Annotated[
        int,
        Option(
            "--seeds", help="number of virtual cohorts", metavar="N", callback=bounds.bounded(*bounds.COUNT)
        ),
    ] = 1,
    seed: Annotated[
        int,
        Option("--seed", help="seed of the first cohort", metavar="N", callback=bounds.bounded(*bounds.SEED)),
    ] = 0,
    per_group: Annotated[
        int | None,
        Option(
            "--per-group",
            help="levels raw and scanner: participants per group; default: as published",
            metavar="N",
            callback=bounds.bounded(2, 10_000),
        ),
    ] = None,
    voxel_size: Annotated[
        float,
        Option(
            "--voxel-size",
            help="levels raw and scanner: voxel size of the gradient echoes [mm], 1 to 4",
            metavar="MM",
            callback=bounds.bounded(1, 4),
        ),
    ] = 2.0,
    workers: Annotated[
        int | None,
        Option(
            "--workers",
            help="levels raw and scanner: processes, one participant each at a time; 0: none; default: none, "
            "but those of run for its steps",
            metavar="N",
            callback=bounds.bounded(*bounds.WORKERS),
        ),
    ] = None,
    keep_raw: Annotated[
        bool,
        Option("--keep-raw", help="level scanner: keep raw images of participants whose steps are done"),
    ] = False,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Draw virtual cohorts from a study's published statistics, fit its models, compare with its findings."""
    from qsmengine.pipeline.outputs.staging import check_output, staged

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    if level is not Level.table:
        if study is not Study.pontillo2019 or seeds != 1:
            raise UsageError(f"--level {level.value} is available for pontillo2019 with one cohort (--seeds 1)")
        if keep_raw and level is not Level.scanner:
            raise UsageError("--keep-raw is for --level scanner; the level raw writes no raw images")
        asked, places = (seed, per_group, voxel_size), (device, threads, workers)
        if level is Level.scanner:
            _scanner(out, asked, places, reporter, force=force, keep_raw=keep_raw)
        else:
            _raw(out, asked, places, reporter, force=force)
        return
    if workers is not None or keep_raw:
        raise UsageError(
            f"{'--keep-raw' if keep_raw else '--workers'} is for participants with raw signals; "
            "the level table draws regional values in seconds"
        )
    names = _outputs(study)
    check_output(out, map(Path, names), [], force=force)
    reporter.detail(f"{study.value}, level {level.value}, {seeds} cohorts from seed {seed}")
    with staged(out) as folder:
        made = _run(study, folder, seeds, seed, reporter)
    _say(made, out / "index.html", reporter)


def _outputs(study: Study) -> Sequence[str]:
    if study is Study.schweser2018:
        from qsmengine.studies.schweser2018 import reproduce as schweser2018

        return schweser2018.OUTPUTS
    from qsmengine.studies.pontillo2019.page import PAGE_OUTPUTS
    from qsmengine.studies.pontillo2019.reproduce import OUTPUTS

    return (*(f"{name}.tsv" for name in OUTPUTS), *PAGE_OUTPUTS)


def _run(study: Study, folder: Path, seeds: int, seed: int, reporter: Reporter) -> _Made:
    def on_seed(done: int, total: int) -> None:
        reporter.detail(f"cohort {done} of {total}")

    if study is Study.schweser2018:
        from qsmengine.studies.schweser2018.reproduce import reproduce_maps

        return reproduce_maps(folder, seeds=seeds, first_seed=seed, on_seed=on_seed)
    from qsmengine.studies.pontillo2019.page import table_summary, write_page
    from qsmengine.studies.pontillo2019.reproduce import reproduce_table

    made = reproduce_table(folder, seeds=seeds, first_seed=seed, on_seed=on_seed)
    write_page(folder, "cohort.tsv", table_summary(seeds, seed))
    return made


def _say(made: _Made, page: Path, reporter: Reporter) -> None:
    """Print the findings and the file that holds them."""
    for line in made.lines():
        reporter.say(line)
    reporter.say(str(page), file=str(page))


def _raw(out: Path, asked: _Asked, places: _Places, reporter: Reporter, *, force: bool) -> None:
    """Reproduce from raw signals, reusing participants that are already in the folder."""
    from qsmengine.backend.device import available_threads
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.studies.pontillo2019.raw import OUTPUTS, WHOLE_OUTPUTS, RawSettings, reproduce_raw

    (seed, per_group, voxel_size), (device, threads, workers) = asked, places
    processes = max(1, workers or 1)
    if processes > 1:
        threads = threads or max(1, available_threads() // processes)
    where = choose_device(device, threads, reporter, launch=processes == 1)
    names = (*OUTPUTS, *(WHOLE_OUTPUTS if per_group is None else ()))
    check_output(out, [Path(name) for name in names], [], force=force)

    def on_participant(done: int, total: int, known: bool) -> None:
        reporter.step(f"[{done}/{total}] {'reused from an earlier run' if known else 'done'}")

    made = reproduce_raw(
        out,
        RawSettings(seed=seed, voxel_size=voxel_size),
        per_group=per_group,
        device=where,
        workers=processes,
        on_participant=on_participant,
    )
    _say(made, out / names[-1 if per_group is None else 0], reporter)


def _scanner(
    out: Path, asked: _Asked, places: _Places, reporter: Reporter, *, force: bool, keep_raw: bool
) -> None:
    """Reproduce from raw images of every modality; drawn participants and finished steps are reused."""
    from qsmengine.cli.display.cohort import CohortView
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cohort.settings import RunSettings
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.studies.pontillo2019.raw import WHOLE_OUTPUTS, RawSettings
    from qsmengine.studies.pontillo2019.scanner import OUTPUTS, reproduce_scanner

    (seed, per_group, voxel_size), (device, threads, workers) = asked, places
    choose_device(device, threads, reporter, launch=False)
    names = (*OUTPUTS, *(WHOLE_OUTPUTS if per_group is None else ()))
    check_output(out, [Path(name) for name in names], [], force=force)

    def on_participant(done: int, total: int, known: bool) -> None:
        reporter.step(f"[{done}/{total}] {'drawn by an earlier run' if known else 'drawn'}")

    view = CohortView(reporter)
    with view:
        made = reproduce_scanner(
            out,
            RawSettings(seed=seed, voxel_size=voxel_size),
            per_group=per_group,
            run=RunSettings(workers=workers, device=device, threads=threads),
            keep_raw=keep_raw,
            on_participant=on_participant,
            on_event=view.on_event,
        )
    _say(made, out / names[-1 if per_group is None else 0], reporter)
    if made.reasons:
        raise typer.Exit(1)
