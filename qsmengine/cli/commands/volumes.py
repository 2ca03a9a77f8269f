"""``qsmengine volumes``: region table of volumes measured by another program."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option
from qsmengine.errors import UsageError


class Source(StrEnum):
    """Programs whose volumes can be read."""

    aseg = "aseg"
    synthseg = "synthseg"
    first = "first"


def volumes(
    *,
    file: Annotated[Path, Argument(help="aseg.stats, SynthSeg's CSV file, or FIRST's label image")],
    out: Annotated[Path, Option("--out", "-o", help="output table, sub-LABEL_desc-dgm_stats.tsv")],
    source: Annotated[Source, Option("--from", help="program that measured the volumes")],
    scan: Annotated[str | None, Option("--scan", help="row to read from SynthSeg's CSV file")] = None,
    sienax: Annotated[
        Path | None, Option("--sienax", help="report.sienax with the head-size factor and brain volumes")
    ] = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Read volumes of FreeSurfer, SynthSeg or FIRST, normalise them for head size, write a region table."""
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.stats.regions.files import write_region_table
    from qsmengine.stats.regions.volumes import add_sienax, read_aseg, read_first, read_sienax, read_synthseg

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    if out.suffix != ".tsv":
        raise UsageError(f"--out {out}: the name must end in .tsv")
    if scan is not None and source is not Source.synthseg:
        raise UsageError("--scan requires --from synthseg")
    inputs = [file, *([] if sienax is None else [sienax])]
    check_output(out.parent, [Path(out.name), Path(out.with_suffix(".json").name)], inputs, force=force)
    if source is Source.synthseg:
        table = read_synthseg(file, scan=scan)
    else:
        table = read_aseg(file) if source is Source.aseg else read_first(file)
    if sienax is not None:
        table = add_sienax(table, read_sienax(sienax))
    write_region_table(table, out, units={})
    reporter.detail(f"{len(table)} rows")
    reporter.say(str(out), file=str(out))
