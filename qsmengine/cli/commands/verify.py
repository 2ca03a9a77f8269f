"""``qsmengine verify``: recompute sessions and compare their maps with those on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, cohort, shared
from qsmengine.cli.options.declared import Argument, Option

if TYPE_CHECKING:
    from qsmengine.cohort.verify.compare import Difference
    from qsmengine.cohort.verify.recompute import Verified


def verify(
    *,
    out: Annotated[Path, Argument(help="folder of results, which is only read", metavar="OUT")],
    participants: cohort.Participants = None,
    sessions: cohort.Sessions = None,
    bids: Annotated[
        Path | None,
        Option("--bids", help="raw dataset; default: the one that OUT links to", metavar="BIDS"),
    ] = None,
    derivatives: cohort.Derivatives = None,
    tolerance: Annotated[
        float,
        Option(
            "--tolerance",
            help="largest difference allowed, as a fraction of a map's spread, or of the voxels of a mask",
            metavar="X",
            callback=bounds.bounded(0, 1),
        ),
    ] = 0.01,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Recompute sessions from their raw data and configuration, and compare every map with the stored one.

    Nothing in OUT is changed. The table shows the largest difference of each map, in its unit and relative to
    the spread of the map (from the 5th to the 95th percentile); -v shows it for each session. The exit code
    is 1 if a difference exceeds the tolerance, or a session could not be recomputed.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cohort.verify.recompute import Verification

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = Verification(
        out, choose_device(device, threads, reporter), bids, cohort.split_labels(participants),
        cohort.split_labels(sessions), tuple(derivatives or ()),
    )  # fmt: skip
    series = chosen.series()
    found: list[Verified] = []
    for number, one in enumerate(chosen.run(series), start=1):
        found.append(one)
        if one.note:
            reporter.note(f"{one.session}, {one.step}: {one.note}")
        _print_one(reporter, one, f"[{number}/{len(series)}]", tolerance)
    _print_table(reporter, found)
    failed = [one for one in found if one.problem or one.above(tolerance)]
    reporter.say(f"{len(found) - len(failed)} of {len(found)} within {tolerance:g}")
    if failed:
        raise typer.Exit(1)


def _print_one(reporter: Reporter, one: Verified, count: str, tolerance: float) -> None:
    name = f"{one.session}, {one.step}"
    if one.problem:
        reporter.say(f"{count} {name}: not recomputed: {one.problem}", session=one.session, step=one.step)
        return
    above = one.above(tolerance)
    worst = max(one.differences, key=lambda difference: difference.worst)
    reporter.say(
        f"{count} {name}: {f'{len(above)} of ' if above else ''}{len(one.differences)} maps "
        f"{'differ' if above else 'agree'}, worst {worst.name} ({worst.worst:.2g})",
        session=one.session, step=one.step,
        differences={d.name: [d.largest, d.unit, d.relative, d.unshared] for d in one.differences},
    )  # fmt: skip
    for difference in above:
        reporter.say(f"  above {tolerance:g}: {difference.name}: {difference}")
    for difference in one.differences:
        reporter.detail(f"  {difference.name}: {difference}")


def _print_table(reporter: Reporter, found: list[Verified]) -> None:
    """Print the largest difference of each kind of map, and the session that has it."""
    largest: dict[str, tuple[Difference, str]] = {}
    for one in found:
        for difference in one.differences:
            name = f"{one.step}: {difference.name.removeprefix(f'{one.session}_')}"
            known = largest.get(name)
            if known is None or difference.worst > known[0].worst:
                largest[name] = (difference, one.session)
    width = max(map(len, largest), default=0)
    for name, (difference, session) in sorted(largest.items()):
        reporter.say(f"{name:<{width}}  {difference}  {session}")
