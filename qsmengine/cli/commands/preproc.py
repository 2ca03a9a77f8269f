"""``qsmengine preproc``: motion, eddy currents, outlier slices and a mask for a diffusion series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared


def preproc(
    *,
    dwi: Annotated[Path, typer.Option("--dwi", "-k", help="4-D diffusion-weighted image")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="what the outputs' names begin with", metavar="PREFIX")
    ],
    bval: Annotated[Path | None, typer.Option("--bval", "-b", help="b-values; else beside the image")] = None,
    bvec: Annotated[Path | None, typer.Option("--bvec", "-r", help="directions; else beside the image")] = None,
    mask: Annotated[Path | None, typer.Option("--mask", "-m", help="head; else made of b = 0 volumes")] = None,
    model: Annotated[
        Literal["affine", "rigid", "none"],
        typer.Option("--model", help="of a weighted volume: affine (eddy currents too), rigid, none (stay)"),
    ] = "affine",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=5, help="registrations of each volume")] = 2,
    threshold: Annotated[
        float, typer.Option("--outlier-threshold", help="standard deviations below which a slice is lost")
    ] = 4.0,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Bring the volumes of a diffusion series onto each other, turn the gradients along, flag lost slices.

    Writes PREFIX_dwi.nii.gz with .bval, .bvec and .json, PREFIX_mask.nii.gz, PREFIX_motion.tsv and
    PREFIX_outliers.tsv. Registration needs the extra qsmengine[registration]. Distortion by susceptibility is
    not corrected: use FSL's topup and eddy for that and give their rotated b-vectors to qsmengine dti.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.sessions.preproc import PreprocRequest, run_preproc
    from qsmengine.stages.diffusion.motion import MotionParams
    from qsmengine.stages.diffusion.slices import SliceParams

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    motion = None if model == "none" else MotionParams(model=model, rounds=rounds)
    limits = SliceParams(threshold=threshold)
    request = PreprocRequest(dwi, out, bval, bvec, mask, motion=motion, slices=limits, force=force)
    with reporter.progress():
        outcome = run_preproc(request, choose_device(device, threads, reporter), reporter.on_step)
    reporter.notes(outcome.notes)
    for path in outcome.files:
        reporter.say(str(path), file=str(path))
