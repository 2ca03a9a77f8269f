"""``qsmengine view``: picture of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option


def view(
    *,
    image: Annotated[Path, Argument(help="map to show")],
    out: Annotated[
        Path | None, Option("--out", "-o", help="picture, .png; default: name of the map, in this folder")
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        Option("--window", help="lowest and highest value shown", metavar="LOW HIGH"),
    ] = None,
    volume: Annotated[int, Option("--volume", help="volume of a series, from 1", min=1, max=100_000)] = 1,
    at: Annotated[
        tuple[float, float, float] | None,
        Option("--at", help="point of the slices [mm]; default: the centre", metavar="X Y Z"),
    ] = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Draw three planes of a map as PNG, with orientation marks, scale bar and colour bar.

    Maps of qsmengine are shown as on the pages of sessions. The patient's right is on the left.
    """
    from qsmengine.io.inheritance import image_stem
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.report.view import view as draw

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    target = out or Path(f"{image_stem(image.name)}.png")
    check_output(target.parent, [Path(target.name)], [image], force=force)
    draw(image, target, window=window, volume=volume - 1, centre=at)
    reporter.say(str(target), file=str(target))
