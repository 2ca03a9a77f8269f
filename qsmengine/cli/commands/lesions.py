"""``qsmengine lesions``: volume of each lesion, and maps in its core, rim and surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option
from qsmengine.errors import UsageError


def lesions(
    *,
    lesions: Annotated[Path, Option("--lesions", help="mask of lesions, or an image with a number per lesion")],
    out: Annotated[Path, Option("--out", "-o", help="output table, ending in .tsv")],
    maps: Annotated[
        list[str] | None,
        Option("--map", help="name and file of a map; may be repeated", metavar="NAME=F"),
    ] = None,
    mask: Annotated[
        Path | None, Option("--mask", help="mask of the voxels in which maps are valid; default: all")
    ] = None,
    smallest: Annotated[
        float,
        Option(
            "--smallest", help="leave out lesions below this volume [mm^3]", callback=bounds.bounded(0, 1e6)
        ),
    ] = 3.0,
    width: Annotated[
        float,
        Option("--rim", help="width of the rim and of the surroundings [mm]", callback=bounds.bounded(0.1, 20)),
    ] = 2.0,
    units: Annotated[
        list[str] | None,
        Option("--unit", help="unit of a map whose sidecar does not state it", metavar="NAME=UNIT"),
    ] = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Tabulate each lesion: its volume, and maps in its core, rim and surroundings; and the lesion load."""
    from qsmengine.cli.options.map_units import map_units
    from qsmengine.cli.options.parsers import parse_files
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.stats.regions.lesion_files import load_path, tabulate_lesions

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    files = parse_files(maps or [], "--map")
    if out.suffix != ".tsv":
        raise UsageError(f"--out {out}: the name must end in .tsv")
    known = map_units(files, units)
    written = [out, load_path(out)]
    sources = [lesions, *files.values(), *([] if mask is None else [mask])]
    names = [Path(path.with_suffix(ending).name) for path in written for ending in (".tsv", ".json")]
    check_output(out.parent, names, sources, force=force)
    table = tabulate_lesions(lesions, files, out, units=known, mask=mask, smallest=smallest, width=width)
    reporter.notes(table.notes)
    for path in written:
        reporter.say(str(path), file=str(path))
