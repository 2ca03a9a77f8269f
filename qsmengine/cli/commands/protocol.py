"""``qsmengine protocol``: acquisitions of a dataset against the recommendations of their modality."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument


def protocol(
    *,
    bids: Annotated[Path, Argument(help="raw BIDS dataset")],
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Check acquisitions against recommendations: green and red with reasons, from headers and sidecars.

    Susceptibility mapping follows the QSM consensus (10.1002/mrm.30006): saved phase, 3D, monopolar readout,
    several echoes; and own criteria for echo times, voxels and coverage. No voxel is read. Series with equal
    results are listed together.
    """
    from qsmengine.cohort.outputs.protocols import judge_protocols

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    for judged in judge_protocols(bids):
        count = len(judged.series)
        reporter.say(f"{judged.series[0]}{f' and {count - 1} more' if count > 1 else ''}: {judged.title}")
        for name in judged.series if count > 1 else ():
            reporter.detail(f"  {name}")
        if judged.problem:
            reporter.say(f"  red    {judged.problem}")
        for check in judged.checks:
            line = f"  {check.light or '-':6} {check.name}: {check.found}"
            if check.light != "green":
                line += f" ({check.wanted} wanted)" + (f": {check.reason}" if check.light == "red" else "")
            reporter.say(line, light=check.light, check=check.name, series=judged.series)
