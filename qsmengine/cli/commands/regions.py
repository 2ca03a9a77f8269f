"""``qsmengine regions``: volume and map statistics of each structure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Option
from qsmengine.errors import UsageError


def regions(
    *,
    labels: Annotated[Path, Option("--labels", help="label image")],
    maps: Annotated[
        list[str], Option("--map", help="name and file of a map; may be repeated", metavar="NAME=F")
    ],
    out: Annotated[Path, Option("--out", "-o", help="output table, ending in .tsv")],
    lut: Annotated[
        str,
        Option(
            "--lut", help="lookup table: fsl-first, freesurfer-aseg, synthseg, cit168, thalamus-hcp, or a file"
        ),
    ] = "freesurfer-aseg",
    mask: Annotated[Path | None, Option("--mask", help="mask of the voxels to include; default: all")] = None,
    group: Annotated[
        str | None, Option("--group", help="restrict to this group of the lookup table, such as dgm")
    ] = None,
    units: Annotated[
        list[str] | None,
        Option("--unit", help="unit of a map whose sidecar does not state it", metavar="NAME=UNIT"),
    ] = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Measure the volume of every structure and the mean, median, SD, percentiles and coverage of each map."""
    from qsmengine.cli.options.map_units import map_units
    from qsmengine.cli.options.parsers import parse_files
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.stats.labels.tables import load_label_table
    from qsmengine.stats.regions.files import tabulate_regions

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    files = parse_files(maps, "--map")
    if out.suffix != ".tsv":
        raise UsageError(f"--out {out}: the name must end in .tsv")
    known = map_units(files, units)
    sources = [labels, *files.values(), *([] if mask is None else [mask])]
    check_output(out.parent, [Path(out.name), Path(out.with_suffix(".json").name)], sources, force=force)
    notes: list[str] = []
    table = tabulate_regions(
        labels, load_label_table(lut), files, out, units=known, mask=mask, group=group, notes=notes
    )
    reporter.notes(notes)
    reporter.detail(f"{len(table)} rows")
    reporter.say(str(out), file=str(out))
