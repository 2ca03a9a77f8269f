"""``qsmengine register``: align two images, check the result, bring images and labels along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option
from qsmengine.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from qsmengine.sessions.registration import Draw, Shown


def register(
    *,
    moving: Annotated[Path, Option("--moving", help="image to align")],
    fixed: Annotated[Path, Option("--fixed", help="image whose grid the results have")],
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    kind: Annotated[
        str,
        Option("--kind", help="rigid (one head), affine or syn (two heads, or a template)", metavar="KIND"),
    ] = "rigid",
    apply: Annotated[
        list[Path] | None,
        Option("--apply", help="further images in the space of the moving image", metavar="F..."),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        Option("--labels", help="label images in the space of the moving image", metavar="F..."),
    ] = None,
    min_overlap: Annotated[
        float | None,
        Option(
            "--min-overlap", help="least overlap of the heads [default: 0.85]", callback=bounds.bounded(0, 1)
        ),
    ] = None,
    min_edges: Annotated[
        float | None,
        Option("--min-edges", help="least agreement of edges [default: 0.6]", callback=bounds.bounded(0, 1)),
    ] = None,
    accept_poor: Annotated[
        bool, Option("--accept-poor", help="write the results of an alignment that the check refuses")
    ] = False,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Align an image with another of any contrast, check the result, bring further images and labels along.

    A rigid alignment of two heads, or of a mirrored image, is refused. Transforms are in the form of ITK.

    Labels are written as fractions of each voxel, the weights for regional means, and as the label that covers
    most of it.
    """  # fmt: skip
    from qsmengine.ops.alignment import KINDS, Limits
    from qsmengine.sessions.registration import RegistrationRequest, run_registration

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}: must be one of {', '.join(KINDS)}")
    usual = Limits()
    limits = usual._replace(
        overlap=usual.overlap if min_overlap is None else min_overlap,
        edges=usual.edges if min_edges is None else min_edges,
    )
    request = RegistrationRequest(
        moving, fixed, out, kind, tuple(apply or ()), tuple(labels or ()), limits,
        accept_poor, force,
    )  # fmt: skip
    draw = _panel(reporter)
    outcome = run_registration(request, draw)
    reporter.notes(outcome.notes)
    found = outcome.alignment.agreement
    reporter.detail(
        f"information {found.information:.3f}, overlap {found.overlap:.2f}, edges {found.edges:.2f}"
    )
    for path in outcome.files:
        if path.name.endswith((".nii.gz", ".txt", ".png")):
            reporter.say(str(path), file=str(path))


def _panel(reporter: Reporter) -> Draw | None:
    """Return the function that draws the panel; None, with a note, if matplotlib is missing."""
    try:
        from qsmengine.report.alignment import alignment_panel
    except DeviceError as error:
        reporter.notes([f"no panel: {error}"])
        return None

    def draw(path: Path, shown: Shown) -> None:
        alignment_panel(path, *shown)

    return draw
