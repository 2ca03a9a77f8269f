"""``qsmengine demo``: reconstruct bundled real data and a virtual head with known truth.

One module per part; each calls the package as a user's script would and adds its results to the summary.
Nothing else imports these modules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Option


def demo(
    *,
    out: Annotated[Path, Option("--out", "-o", help="output folder")] = Path("demo-output"),
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Reconstruct bundled real data and a virtual head with known truth: maps, tables and pictures.

    Takes a minute or two on two CPU cores. Without the extras report and stats: maps of the real data only.
    """
    from qsmengine.cli.demo.summary import Summary
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.errors import UsageError

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    summary = Summary(reporter)
    if (out / "summary.json").exists() and not force:
        raise UsageError(f"{out} contains an earlier demo; --force replaces it")
    chosen = choose_device(device, threads, reporter)
    start = time.perf_counter()
    for part in _parts(reporter):
        part(out, chosen, reporter, summary)
    summary.finish(out, chosen, time.perf_counter() - start)


def _parts(reporter: Reporter) -> list[Callable[..., None]]:
    """Return the parts that the installed extras allow; a note names what is left out."""
    from qsmengine.cli.demo.diffusion import reconstruct_diffusion
    from qsmengine.cli.demo.echoes import reconstruct_echoes
    from qsmengine.cli.demo.extras import missing

    parts: list[Callable[..., None]] = [reconstruct_echoes, reconstruct_diffusion]
    without = [text for text in (missing("report"), missing("stats")) if text]
    for text in without:
        reporter.note(text)
    if without:
        reporter.note("the virtual head, the virtual cohort and pictures are left out")
        return parts
    from qsmengine.cli.demo.cohort import compare_groups
    from qsmengine.cli.demo.head import reconstruct_virtual_head

    return [*parts, reconstruct_virtual_head, compare_groups]
