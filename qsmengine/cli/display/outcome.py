"""Printed outcome of a session: its notes, and the written files or the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmengine.cli.display.reporter import Reporter

if TYPE_CHECKING:
    from qsmengine.backend.device import Device
    from qsmengine.pipeline.run.outcome import Outcome


def print_outcome(
    reporter: Reporter,
    outcome: Outcome,
    device: Device,
    *,
    dry_run: bool,
    endings: tuple[str, ...] = (".nii.gz",),
) -> None:
    """Print the notes, and the files with one of `endings`, or the plan of a dry run."""
    reporter.notes(outcome.notes)
    if dry_run:
        from qsmengine.cli.display.plan import print_plan

        print_plan(reporter, outcome.plan, device, outcome.files)
        return
    for path in outcome.files:
        if path.name.endswith(endings):
            reporter.say(str(path), file=str(path))
