"""``qsmengine export``: write maps, labels and region tables as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option


def export_dicom(
    maps: Annotated[
        list[Path],
        Argument(help="maps, label images (dseg, mask) and region tables (.tsv)", metavar="MAP..."),
    ],
    *,
    source: Annotated[
        Path,
        Option("--source", help="DICOM files of the study, at any depth", metavar="DICOM"),
    ],
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    form: Annotated[
        str,
        Option("--as", help="maps become: parametric-map, mr (classic images), or both", metavar="FORM"),
    ] = "both",
    quantity: Annotated[
        str | None,
        Option(
            "--quantity",
            help="quantity of a map whose name does not state it: chi, r2star, fa, ... or CODE:SCHEME:MEANING",
            metavar="NAME",
        ),
    ] = None,
    unit: Annotated[
        str | None, Option("--unit", help="unit of a map whose sidecar does not state it", metavar="UNIT")
    ] = None,
    lut: Annotated[
        str | None,
        Option("--lut", help="label table of label images; default: the .tsv next to it", metavar="LUT"),
    ] = None,
    bits: Annotated[
        int,
        Option("--bits", help="bits of classic images: 16 (signed), or 12 (0 to 4095, unsigned)"),
    ] = 16,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Write maps, labels and region tables as DICOM objects of the study that they were made from.

    Maps become a Parametric Map with their float32 values, classic MR images with one window per series (in ppb
    for susceptibility), or both; label images a Segmentation; region tables a structured report (TID 1500).
    Patient, study and frame of reference come from --source alone. Needs the extra dicom of qsmengine.
    """
    from qsmengine.cohort.dicom_export.export import export_dicom as run

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    done = run(maps, source, out, form=form, quantity=quantity, unit=unit, lut=lut, bits=bits, force=force)
    reporter.notes(done.notes)
    for place in done.objects:
        reporter.say(str(out / place), file=str(out / place))
