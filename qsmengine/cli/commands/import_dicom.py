"""``qsmengine import``: convert DICOM files into a session of a BIDS dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option


def import_dicom(
    folder: Annotated[Path, Argument(help="DICOM files of one visit, at any depth", metavar="DICOM")],
    bids: Annotated[Path, Argument(help="raw BIDS dataset; created if missing", metavar="BIDS")],
    *,
    subject: Annotated[str, Option("--subject", help="subject label, with or without sub-", metavar="LABEL")],
    session: Annotated[
        str | None, Option("--session", help="session label, with or without ses-", metavar="LABEL")
    ] = None,
    keep_identity: Annotated[
        bool, Option("--keep-identity", help="keep patient, physicians, place and times in the sidecars")
    ] = False,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Convert DICOM to BIDS with dcm2niix: series that qsmengine can process, and T1-weighted images.

    Names, birth dates and times of day are removed unless --keep-identity is given. Series that are not
    recognised are listed. Needs the extra dicom of qsmengine.
    """
    from qsmengine.cohort.dicom_import.convert import import_dicom as run

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    done = run(folder, bids, subject, session, keep_identity=keep_identity, force=force)
    reporter.notes(done.notes)
    for text in done.left_out:
        reporter.note(f"skipped: {text}")
    images = [path for path in done.files if path.endswith(".nii.gz")]
    for path in images:
        reporter.say(str(bids / path), file=str(bids / path))
    reporter.note(f"{len(images)} images imported, {len(done.left_out)} skipped")
