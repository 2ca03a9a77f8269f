"""``qsmengine evaluate``: error measures of a map against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Option

if TYPE_CHECKING:
    from qsmengine.stages.metrics import Evaluation


def evaluate(
    *,
    estimate: Annotated[Path, Option("--estimate", help="map to score [ppm]")],
    truth: Annotated[Path, Option("--truth", help="true map [ppm]")],
    mask: Annotated[Path, Option("--mask", help="mask of the voxels to score")],
    labels: Annotated[
        Path | None, Option("--labels", help="label image, for the slope of deep grey matter")
    ] = None,
    dgm_labels: Annotated[
        str, Option("--dgm-labels", help="labels of the deep grey matter", metavar="N,N,...")
    ] = "1,2,3,4,5,6",
    as_json: Annotated[bool, Option("--json", help="print one JSON object")] = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Score a susceptibility or field map, both where it is nonzero (as QSM-CI does) and in the whole mask."""
    import json

    from qsmengine.cli.options.parsers import parse_ranges
    from qsmengine.sessions.evaluate import evaluate_files

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    regions = parse_ranges(dgm_labels, "--dgm-labels")
    notes: list[str] = []
    result = evaluate_files(estimate, truth, mask, labels, regions, notes)
    reporter.notes(notes)
    if as_json:
        facts = {"scored": result.scored._asdict(), "whole": result.whole._asdict()}
        reporter.say(json.dumps({**facts, "dgm_slope": result.dgm_slope}))
    else:
        for line in _lines(result):
            reporter.say(line)


def _lines(result: Evaluation) -> list[str]:
    units = {"nrmse": "%", "nrmse_detrend": "%", "hfen": "%", "volume": "mm^3"}
    lines = [f"{'':14} {'estimate != 0':>14} {'whole mask':>14}"]
    for name, scored, whole in zip(result.whole._fields, result.scored, result.whole, strict=True):
        lines.append(f"{name:14} {scored:14.4f} {whole:14.4f} {units.get(name, '')}".rstrip())
    if result.dgm_slope is not None:
        lines.append(f"{'dgm_slope':14} {result.dgm_slope:14.4f}")
    return lines
